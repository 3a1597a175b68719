/*
 * The crash handler. Inside it only async-signal-safe calls and plain memory.
 */
#include "daemon/crash.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/current.h"
#include "daemon/link.h"

enum { STACK_BYTES = 32 * 1024, WORD_MAX = 100 };

static const struct {
    int number;
    const char *name;
} signals[] = {
    { SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" },   { SIGFPE, "SIGFPE" },
    { SIGILL, "SIGILL" },   { SIGABRT, "SIGABRT" },
};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static struct sigaction before[SIGNALS];
static int link_fd = -1;

struct words {
    char text[4 * WORD_MAX];
    size_t len;
};

static void say(struct words *w, const char *word)
{
    /* cppcheck-suppress arrayIndexOutOfBoundsCond ; ends at the word's end */
    for (size_t i = 0; i < WORD_MAX && word[i] != '\0' && w->len < sizeof(w->text); i++)
        /* cppcheck-suppress arrayIndexOutOfBounds ; likewise */
        w->text[w->len++] = word[i];
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    static volatile sig_atomic_t began;
    struct words w = { .len = 0 };
    size_t which = 0;
    (void)context;

    while (which + 1 < SIGNALS && signals[which].number != number)
        which++;
    /* What the signal meant before: the default, or a sanitizer's report. Returning runs into it. */
    (void)sigaction(number, &before[which], NULL);
    if (began)
        return; /* two threads at once, or the handler itself: the first has spoken */
    began = 1;
    say(&w, signals[which].name);
    say(&w, " in ");
    say(&w, current.plugin != NULL ? current.plugin : "core");
    if (current.request_id != NULL) {
        say(&w, ", request ");
        say(&w, current.request_id);
    }
    (void)link_send(link_fd, LINK_CRASH, (andiron_str){ w.text, w.len });
    say(&w, "\n");
    static const char prefix[] = "andiron: worker crashed: ";
    /* Nothing can be done about a closed stderr. */
    if (write(STDERR_FILENO, prefix, sizeof(prefix) - 1) > 0)
        (void)!write(STDERR_FILENO, w.text, w.len);
    /* A fault comes again on return; a signal that was sent, abort() too, would not. */
    if (info->si_code <= 0)
        (void)raise(number);
}

void crash_thread(void)
{
    void *memory =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return; /* then a full stack dies without last words */
    stack_t stack = { .ss_sp = memory, .ss_size = STACK_BYTES };
    (void)sigaltstack(&stack, NULL);
}

void crash_install(int fd)
{
    struct sigaction action = { .sa_sigaction = on_crash,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

    link_fd = fd;
    (void)sigemptyset(&action.sa_mask);
    crash_thread();
    for (size_t i = 0; i < SIGNALS; i++)
        (void)sigaction(signals[i].number, &action, &before[i]);
}
