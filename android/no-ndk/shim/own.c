/* Functions of bionic that glibc has under another name or with other types. See make.sh, which reads the names. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* `BIONIC(name)` exports the function that follows under bionic's name. */
#define BIONIC(name) __asm__(#name)

extern void *find_in_glibc(const char *library, const char *name);

static void *glibc(const char *name) { return find_in_glibc("libc.so.6", name); }

int *own_errno(void) BIONIC(__errno);
int *own_errno(void) { return __errno_location(); }

/* There are no Android properties here. */
int own_property(const char *name, char *value) BIONIC(__system_property_get);
int own_property(const char *name, char *value) {
    (void)name;
    value[0] = 0;
    return 0;
}

/* bionic's is POSIX's, glibc's under this name is GNU's. */
extern int __xpg_strerror_r(int, char *, size_t);
int own_strerror(int error, char *text, size_t size) BIONIC(strerror_r);
int own_strerror(int error, char *text, size_t size) { return __xpg_strerror_r(error, text, size); }

/* The numbers of what is asked differ. */
long own_sysconf(int name) BIONIC(sysconf);
long own_sysconf(int name) {
    long (*real)(int) = (long (*)(int))glibc("sysconf");
    switch (name) {
    case 0x27: case 0x28: return real(_SC_PAGESIZE);
    case 0x60: return real(_SC_NPROCESSORS_CONF);
    case 0x61: return real(_SC_NPROCESSORS_ONLN);
    default: errno = EINVAL; return -1;
    }
}

/* bionic's structure has another size; of what it holds only the stack's size matters to Rust. */
struct attributes { unsigned flags; void *base; size_t size, guard; int policy, priority; char reserved[16]; };
_Static_assert(sizeof(struct attributes) == 56, "bionic's pthread_attr_t on 64-bit systems");

int own_attr_init(struct attributes *a) BIONIC(pthread_attr_init);
int own_attr_init(struct attributes *a) {
    memset(a, 0, sizeof *a);
    return 0;
}

int own_attr_destroy(struct attributes *a) BIONIC(pthread_attr_destroy);
int own_attr_destroy(struct attributes *a) {
    (void)a;
    return 0;
}

int own_attr_setstacksize(struct attributes *a, size_t size) BIONIC(pthread_attr_setstacksize);
int own_attr_setstacksize(struct attributes *a, size_t size) {
    a->size = size;
    return 0;
}

int own_create(pthread_t *thread, const struct attributes *a, void *(*body)(void *), void *argument) BIONIC(pthread_create);
int own_create(pthread_t *thread, const struct attributes *a, void *(*body)(void *), void *argument) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = glibc("pthread_create");
    int (*init)(pthread_attr_t *) = glibc("pthread_attr_init");
    int (*setstacksize)(pthread_attr_t *, size_t) = glibc("pthread_attr_setstacksize");
    pthread_attr_t attributes;
    init(&attributes);
    if (a && a->size) setstacksize(&attributes, a->size);
    return real(thread, &attributes, body, argument);
}
