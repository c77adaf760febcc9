/* Counts the instructions that a program executes under QEMU's user-mode emulation.
 *
 * A plugin of QEMU's Tiny Code Generator, loaded with `-plugin counter.so,name=TEXT`. QEMU
 * translates a program block by block; each block adds its instructions to the count of the
 * thread that enters it. At every marker, a system call getpgid(-MARK) that does nothing but
 * fail, a line is added to the file that the environment names in EDGEKD_COUNTER:
 *
 *     TOTAL OWN THREADS
 *
 * instructions of all threads so far, those of the calling thread, and how many threads have
 * executed any. The first line is `edgekd-counter 1 TEXT`. The file is made at the first
 * marker and removed when the process ends, so whoever wants it reads it before.
 *
 * QEMU's header is packaged nowhere; what is needed of it is declared here, as documented in
 * https://www.qemu.org/docs/master/devel/tcg-plugins.html. API_VERSION is 1 up to QEMU 8 and
 * 2 from QEMU 9 on; nothing used here differs between them.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef API_VERSION
#define API_VERSION 1
#endif
#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb; /* a translated block */
typedef uint64_t plugin_id;
enum { NO_REGISTERS = 0 }; /* the callback touches none of the emulated processor's registers */

extern void qemu_plugin_register_vcpu_tb_trans_cb(
    plugin_id id, void (*callback)(plugin_id id, struct qemu_plugin_tb *block));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *block, void (*callback)(unsigned int thread, void *data),
    int registers, void *data);
extern void qemu_plugin_register_vcpu_syscall_cb(
    plugin_id id, void (*callback)(plugin_id id, unsigned int thread, int64_t number, uint64_t a1,
                                   uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                                   uint64_t a7, uint64_t a8));
extern void qemu_plugin_register_atexit_cb(plugin_id id, void (*callback)(plugin_id id, void *data),
                                           void *data);

EXPORT int qemu_plugin_version = API_VERSION;
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

#define GETPGID 155 /* on arm64, as on every newer Linux architecture */
#define MARK 718281828
#define THREADS 1024 /* a power of two; beyond it, two threads share one count */

/* A count a thread, each in a cache line of its own. */
static struct {
    _Alignas(64) uint64_t instructions;
} counts[THREADS];
static const char *name = "";
static int file = -1;
static pid_t owner; /* a fork has the descriptor too, and must not remove the file */

static void executed(unsigned int thread, void *data)
{
    uint64_t *count = &counts[thread % THREADS].instructions;
    /* Only its own thread writes it: nothing is lost, and nothing needs a lock. */
    __atomic_store_n(count, *count + (uintptr_t)data, __ATOMIC_RELAXED);
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    uintptr_t instructions = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS, (void *)instructions);
}

static void put(const char *line, size_t length)
{
    if (write(file, line, length) != (ssize_t)length) {
        /* A line that is missing would shift all others: better none. */
        close(file);
        file = -2;
    }
}

static void open_file(void)
{
    const char *path = getenv("EDGEKD_COUNTER");
    char line[256];
    file = -2;
    if (path == NULL)
        return;
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) {
        file = -2;
        return;
    }
    owner = getpid();
    put(line, (size_t)snprintf(line, sizeof line, "edgekd-counter 1 %.200s\n", name));
}

static void called(plugin_id id, unsigned int thread, int64_t number, uint64_t a1, uint64_t a2,
                   uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != GETPGID || (int32_t)a1 != -MARK)
        return;
    uint64_t total = 0;
    int threads = 0;
    for (int i = 0; i < THREADS; i++) {
        uint64_t count = __atomic_load_n(&counts[i].instructions, __ATOMIC_RELAXED);
        total += count;
        threads += count != 0;
    }
    if (file == -1)
        open_file();
    if (file < 0 || owner != getpid())
        return;
    char line[80];
    put(line, (size_t)snprintf(line, sizeof line, "%llu %llu %d\n", (unsigned long long)total,
                               (unsigned long long)counts[thread % THREADS].instructions, threads));
}

static void ended(plugin_id id, void *data)
{
    (void)id, (void)data;
    if (owner == getpid())
        unlink(getenv("EDGEKD_COUNTER"));
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "name=", 5) == 0)
            name = strdup(argv[i] + 5);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
