/* Stands in for QEMU: gives the counter what it asks of one, and does what a program would do.
 *
 * harness COMMAND ...: "run N" enters a block of N instructions, "in T" goes on as thread T,
 * "mark" makes the marker's system call, "pgid N" the same with another argument, "call N" another
 * system call with the marker's argument, "fork" makes and ends a child, "show" prints the file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct qemu_plugin_tb {
    size_t instructions;
    void (*executed)(unsigned int, void *);
    void *data;
};
static void (*translated)(uint64_t, struct qemu_plugin_tb *);
static void (*called)(uint64_t, unsigned int, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                      uint64_t, uint64_t, uint64_t, uint64_t);
static void (*ended)(uint64_t, void *);

int qemu_plugin_install(uint64_t, const void *, int, char **);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void *callback)
{
    translated = id == 7 ? callback : NULL;
}
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block)
{
    return block->instructions;
}
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void *callback,
                                          int registers, void *data)
{
    block->executed = registers == 0 ? callback : NULL;
    block->data = data;
}
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, void *callback)
{
    called = id == 7 ? callback : NULL;
}
void qemu_plugin_register_atexit_cb(uint64_t id, void *callback, void *data)
{
    ended = id == 7 && data == NULL ? callback : NULL;
}

static void call(unsigned int thread, int64_t number, int64_t argument)
{
    called(7, thread, number, (uint64_t)argument, 0, 0, 0, 0, 0, 0, 0);
}

static void show(void)
{
    char line[256];
    FILE *file = fopen(getenv("EDGEKD_COUNTER"), "r");
    puts(file ? "file:" : "no file");
    while (file && fgets(line, sizeof line, file))
        fputs(line, stdout);
    if (file)
        fclose(file);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char *arguments[] = {"name=a QEMU"};
    unsigned int thread = 0;
    const int64_t mark = -718281828;
    qemu_plugin_install(7, NULL, 1, arguments);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "run") == 0) {
            struct qemu_plugin_tb block = {.instructions = strtoul(argv[++i], NULL, 10)};
            translated(7, &block);
            block.executed(thread, block.data);
        } else if (strcmp(word, "in") == 0) {
            thread = (unsigned int)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(word, "mark") == 0) {
            call(thread, 155, mark);
        } else if (strcmp(word, "pgid") == 0) {
            call(thread, 155, strtoll(argv[++i], NULL, 10));
        } else if (strcmp(word, "call") == 0) {
            call(thread, strtoll(argv[++i], NULL, 10), mark);
        } else if (strcmp(word, "fork") == 0) {
            if (fork() == 0) {
                call(thread, 155, mark);
                ended(7, NULL);
                _exit(0);
            }
            wait(NULL);
        } else if (strcmp(word, "show") == 0) {
            show();
        } else {
            return 2;
        }
    }
    ended(7, NULL);
    show();
    return 0;
}
