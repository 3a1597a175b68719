/*
 * Which threads go first where there are more of them than processors. Both calls are about the
 * calling thread; where the kernel or a sandbox refuses, all stay equal.
 */
#ifndef CORE_LOOP_PRIORITY_H
#define CORE_LOOP_PRIORITY_H

/* A loop: it runs for microseconds and sleeps, and others wait for its answers. */
void priority_loop(void);

/* The pool: what takes long anyway. */
void priority_pool(void);

#endif
