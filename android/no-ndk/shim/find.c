/* Finds a function of glibc. A library of its own, so that `dlopen` here is glibc's and not the shim's. */
#include <dlfcn.h>
#include <stddef.h>

void *find_in_glibc(const char *library, const char *name) {
    void *from = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    return from ? dlsym(from, name) : NULL;
}
