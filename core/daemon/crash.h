/*
 * Last words of a worker: which signal, in which plugin, for which request.
 */
#ifndef CORE_DAEMON_CRASH_H
#define CORE_DAEMON_CRASH_H

/*
 * From now on a deadly signal first sends LINK_CRASH over fd and a line to stderr, then does what
 * it would have done. Call crash_thread() on each further thread.
 */
void crash_install(int fd);

/* Gives the calling thread a stack of its own for the handler: a full stack is a crash too. */
void crash_thread(void);

#endif
