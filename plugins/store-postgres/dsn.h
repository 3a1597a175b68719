/*
 * Connection strings: what the operator wrote, with what every connection of ours needs.
 *
 * Never in a log or a message: a connection string may hold a password.
 */
#ifndef STORE_POSTGRES_DSN_H
#define STORE_POSTGRES_DSN_H

#include <libpq-fe.h>

#include <andiron/base.h>
#include <andiron/error.h>

enum { DSN_OPTIONS = 80 };

/* A connection string, taken apart: keywords and values for PQconnectStartParams(), NULL at the end. */
struct dsn {
    PQconninfoOption *parsed; /* owns the values of the operator */
    const char *keywords[DSN_OPTIONS], *values[DSN_OPTIONS];
    size_t count;
};

/* text is "host=.. dbname=.." or "postgresql://..". -1: err, which shows nothing of it. */
ANDIRON_MUST_CHECK int dsn_parse(struct dsn *dsn, const char *text, const char *directive,
                                 struct andiron_error *err);
void dsn_free(struct dsn *dsn);

/* Value of a keyword; NULL: not there. */
const char *dsn_value(const struct dsn *dsn, const char *keyword);
/* Sets it; value must live as long as dsn. */
void dsn_set(struct dsn *dsn, const char *keyword, const char *value);
/* Sets it unless the operator has. */
void dsn_default(struct dsn *dsn, const char *keyword, const char *value);

#endif
