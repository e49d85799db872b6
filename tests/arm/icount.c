// Counts the instructions that a program executes under qemu-user: a TCG plugin (interface 1, QEMU 4.2 and later).
//
//     cc -O2 -shared -fPIC -fvisibility=hidden tests/arm/icount.c -o libicount.so
//     qemu-aarch64 -cpu cortex-a76 -plugin ./libicount.so[,functions=N] PROGRAM..
//
// At the end it prints `instructions: N` to standard error, and with `functions=N` the N functions with the most of
// them. The guest may mark a region by `hint #96` and `hint #97`, which do nothing on a processor; each region prints
// `region: N`. Only for one thread: counters are added to without a lock. The same program with the same input gives
// the same count, but for what the C library and the kernel's addresses change: a few in ten million.
//
// QEMU's header is in no package of Debian's; what is used of it is declared here, as its documentation says.

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void on_translate(plugin_id, struct qemu_plugin_tb *);
typedef void on_execute(unsigned cpu, void *data);
typedef void on_exit_fn(plugin_id, void *data);

enum { ADD_U64 = 0, NO_REGISTERS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translate *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter, uint64_t addend);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, on_execute *, int registers, void *data);
void qemu_plugin_register_atexit_cb(plugin_id, on_exit_fn *, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

// A sequence without branches, as QEMU translates it. Never freed: counters are added to for as long as it may run.
struct block {
    struct block *next;
    const char *function;
    uint64_t instructions;
};

static struct block *blocks;
static uint64_t region_start;
static size_t functions_shown;

static uint64_t total(void)
{
    uint64_t sum = 0;
    for (const struct block *b = blocks; b; b = b->next)
        sum += b->instructions;
    return sum;
}

static void region_begins(unsigned cpu, void *data)
{
    (void)cpu, (void)data;
    region_start = total();
}

static void region_ends(unsigned cpu, void *data)
{
    (void)cpu, (void)data;
    fprintf(stderr, "region: %" PRIu64 "\n", total() - region_start);
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    struct block *block = calloc(1, sizeof *block);
    if (!block)
        abort();
    size_t n = qemu_plugin_tb_n_insns(tb);
    block->function = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &block->instructions, n);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
        const uint32_t hint = 0xd503201f; // with its number from bit 5
        if (word == (hint | 96u << 5))
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, region_begins, NO_REGISTERS, NULL);
        if (word == (hint | 97u << 5))
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, region_ends, NO_REGISTERS, NULL);
    }
}

static const char *name(const struct block *b)
{
    return b->function && *b->function ? b->function : "(no symbol)";
}

static int by_name(const void *a, const void *b)
{
    return strcmp(name(a), name(b));
}

static int by_count(const void *a, const void *b)
{
    uint64_t x = ((const struct block *)a)->instructions, y = ((const struct block *)b)->instructions;
    return (x < y) - (x > y);
}

static void print_functions(void)
{
    size_t n = 0, functions = 0;
    for (const struct block *b = blocks; b; b = b->next)
        n++;
    struct block *all = malloc((n + 1) * sizeof *all);
    if (!all)
        return;
    n = 0;
    for (const struct block *b = blocks; b; b = b->next)
        all[n++] = *b;
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++) {
        if (functions && by_name(&all[functions - 1], &all[i]) == 0)
            all[functions - 1].instructions += all[i].instructions;
        else
            all[functions++] = all[i];
    }
    qsort(all, functions, sizeof *all, by_count);
    for (size_t i = 0; i < functions && i < functions_shown; i++)
        fprintf(stderr, "%14" PRIu64 "  %s\n", all[i].instructions, name(&all[i]));
    free(all);
}

static void at_exit(plugin_id id, void *data)
{
    (void)id, (void)data;
    fprintf(stderr, "instructions: %" PRIu64 "\n", total());
    print_functions();
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "functions=", 10) != 0)
            return -1;
        functions_shown = strtoul(argv[i] + 10, NULL, 10);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
