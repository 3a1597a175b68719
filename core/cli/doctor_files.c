/*
 * What can be seen without a server.
 */
#include <dirent.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/doctor.h"
#include "host/available.h"
#include "host/config.h"

enum {
    OTHERS = 007,  /* rights of everybody else */
    NOT_OWN = 077, /* of everybody but the owner */
    DISK_WARN = 10,
    DISK_FAIL = 2,
    DAY = 24 * 3600,
    EXPIRY_WARN_DAYS = 30,
    EXPIRY_FAIL_DAYS = 3
};

/* ---- configuration and modules --------------------------------------------------- */

static void look_at_config(struct doctor *d)
{
    const struct problems *p = host_problems(d->host);

    if (p->errors > 0)
        doctor_say(d, DOCTOR_FAIL, "config", "andiron check-config", "%zu errors", p->errors);
    else if (p->count > 0)
        doctor_say(d, DOCTOR_WARN, "config", "andiron check-config", "%zu warnings", p->count);
    else
        doctor_say(d, DOCTOR_OK, "config", NULL, "no problem in %s", cli_invocation()->dir);
    if (d->settings.http.dev_mode)
        doctor_say(d, DOCTOR_WARN, "dev.mode", "set [dev] mode = off before there is real data",
                   "is on: safety rules are relaxed");
    else
        doctor_say(d, DOCTOR_OK, "dev.mode", NULL, "is off");
}

static bool is_on(const struct doctor *d, const char *name)
{
    for (size_t i = 1; host_plugin(d->host, i) != NULL; i++)
        if (strcmp(host_plugin(d->host, i)->name, name) == 0)
            return true;
    return false;
}

static void look_at_modules(struct doctor *d)
{
    size_t count = 0, bad = 0;
    const struct available *all =
        available_list(d->arena, cli_invocation()->dir, d->settings.module_path, &count);

    for (size_t i = 0; i < count; i++) {
        if (all[i].is_usable || all[i].module == NULL)
            continue;
        bad++;
        doctor_say(d, is_on(d, all[i].name) ? DOCTOR_FAIL : DOCTOR_WARN, "modules",
                   "install the module that belongs to this andiron", "%s: %s", all[i].name,
                   all[i].why_not);
    }
    if (bad == 0)
        doctor_say(d, DOCTOR_OK, "modules", NULL, "%zu modules fit ABI %d.%d", count,
                   ANDIRON_ABI_MAJOR, ANDIRON_ABI_MINOR);
}

/* What nearly every server has; one of a row is enough. */
static void look_at_plugins(struct doctor *d)
{
    static const char *const usual[][2] = { { "store-sqlite", "store-postgres" },
                                            { "jwks", NULL },
                                            { "auth", NULL },
                                            { "access", NULL },
                                            { "fhir", NULL },
                                            { "search", NULL },
                                            { "smart", NULL },
                                            { "audit", NULL } };
    bool all = true;

    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (is_on(d, usual[i][0]) || (usual[i][1] != NULL && is_on(d, usual[i][1])))
            continue;
        all = false;
        doctor_say(d, DOCTOR_WARN, "plugins",
                   andiron_printf(d->arena, "andiron enable %s --now", usual[i][0]), "%s is off",
                   usual[i][0]);
    }
    if (all)
        doctor_say(d, DOCTOR_OK, "plugins", NULL, "what is usually on is on");
}

/* ---- files --------------------------------------------------------------------------- */

/* Says it if others have rights that they should not; counts what was looked at. */
static void look_at_mode(struct doctor *d, const char *path, unsigned forbidden, size_t *count,
                         size_t *bad)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return; /* not there, or not for us to see: check-config tells of those that are needed */
    ++*count;
    if ((st.st_mode & forbidden) == 0)
        return;
    ++*bad;
    doctor_say(
        d, DOCTOR_FAIL, "files",
        andiron_printf(d->arena, "chmod %s %s", forbidden == OTHERS ? "o-rwx" : "go-rwx", path),
        "%s has mode %04o, which lets others in", path, (unsigned)st.st_mode & 07777);
}

static void look_at_folder(struct doctor *d, const char *folder, size_t *count, size_t *bad)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    look_at_mode(d, folder, NOT_OWN, count, bad);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            look_at_mode(d, andiron_printf(d->arena, "%s/%s", folder, entry->d_name), NOT_OWN,
                         count, bad);
    if (dir != NULL)
        (void)closedir(dir); /* only read */
}

/* Files that the secrets of a table name. */
static void look_at_secrets(struct doctor *d, const struct andiron_directive *table,
                            const struct directive_value *values, size_t *count, size_t *bad)
{
    for (size_t i = 0; i < directives_count(table) && values != NULL; i++)
        if (table[i].type == ANDIRON_SECRET && values[i].text != NULL && values[i].text[0] == '@')
            look_at_mode(d, config_path(d->arena, cli_invocation()->dir, values[i].text + 1),
                         OTHERS, count, bad);
}

static void look_at_files(struct doctor *d)
{
    const char *dir = cli_invocation()->dir;
    size_t count = 0, bad = 0;

    look_at_mode(d, d->settings.state_dir, OTHERS, &count, &bad);
    look_at_folder(d, andiron_printf(d->arena, "%s/keys", d->settings.state_dir), &count, &bad);
    look_at_mode(d, andiron_printf(d->arena, "%s/andiron.db", d->settings.state_dir), NOT_OWN,
                 &count, &bad);
    look_at_mode(d, andiron_printf(d->arena, "%s/secrets", dir), OTHERS, &count, &bad);
    look_at_mode(d, andiron_printf(d->arena, "%s/admin.secret", dir), OTHERS, &count, &bad);
    if (d->settings.http.tls_key != NULL)
        look_at_mode(d, d->settings.http.tls_key, OTHERS, &count, &bad);
    if (d->settings.http.tls_ticket_key != NULL)
        look_at_mode(d, d->settings.http.tls_ticket_key, OTHERS, &count, &bad);
    if (d->settings.init_bundle[0] != '\0')
        look_at_mode(d, d->settings.init_bundle, OTHERS, &count, &bad);
    for (const struct host_section *s = settings_sections; s->name != NULL; s++)
        look_at_secrets(d, s->directives, host_values(d->host, s->name), &count, &bad);
    for (size_t i = 1; host_plugin(d->host, i) != NULL; i++) {
        const struct andiron_host *p = host_plugin(d->host, i);
        look_at_secrets(d, p->table.directives, p->values, &count, &bad);
    }
    if (bad == 0)
        doctor_say(d, DOCTOR_OK, "files", NULL, "%zu files are for their owners alone", count);
}

/* ---- machine ------------------------------------------------------------------------------ */

static void look_at_clock(struct doctor *d)
{
    struct timex t = { .modes = 0 };

    /* Tokens and signatures live for minutes: a clock that drifts refuses good ones. */
    int state = adjtimex(&t);
    if (state == -1)
        doctor_say(d, DOCTOR_WARN, "clock", "look at it with timedatectl",
                   "the system does not say whether it is synchronised: %s", strerror(errno));
    else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0)
        doctor_say(d, DOCTOR_WARN, "clock", "run systemd-timesyncd, chrony or ntpd",
                   "is not synchronised; tokens of others may be refused");
    else
        doctor_say(d, DOCTOR_OK, "clock", NULL, "is synchronised");
}

static void look_at_disk(struct doctor *d)
{
    struct statvfs fs;

    if (statvfs(d->settings.state_dir, &fs) != 0 || fs.f_blocks == 0) {
        doctor_say(d, DOCTOR_WARN, "disk", "start andiron once, or run this as root", "%s: %s",
                   d->settings.state_dir, strerror(errno));
        return;
    }
    unsigned percent = (unsigned)(fs.f_bavail * 100 / fs.f_blocks);
    doctor_say(d,
               percent < DISK_FAIL   ? DOCTOR_FAIL
               : percent < DISK_WARN ? DOCTOR_WARN
                                     : DOCTOR_OK,
               "disk", "make room, or move core.state-dir", "%u %% free where %s lies", percent,
               d->settings.state_dir);
}

/* End of the first certificate of the file, or -1. */
static time_t expiry_of(const char *path)
{
    gnutls_datum_t pem = { NULL, 0 };
    gnutls_x509_crt_t crt = NULL;
    time_t end = -1;

    if (gnutls_load_file(path, &pem) != 0)
        return -1;
    if (gnutls_x509_crt_init(&crt) == 0) {
        if (gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM) == 0)
            end = gnutls_x509_crt_get_expiration_time(crt);
        gnutls_x509_crt_deinit(crt);
    }
    gnutls_free(pem.data);
    return end;
}

static void look_at_certificate(struct doctor *d)
{
    const char *path = d->settings.tls_certificate;

    if (path == NULL || path[0] == '\0') {
        doctor_say(d, DOCTOR_OK, "tls", NULL, "no certificate here; a proxy may have one");
        return;
    }
    time_t end = expiry_of(path);
    long days = (long)((end - time(NULL)) / DAY);
    if (end == -1)
        doctor_say(d, DOCTOR_FAIL, "tls", "run it as root, or name a PEM certificate",
                   "%s cannot be read", path);
    else
        doctor_say(d,
                   days < EXPIRY_FAIL_DAYS   ? DOCTOR_FAIL
                   : days < EXPIRY_WARN_DAYS ? DOCTOR_WARN
                                             : DOCTOR_OK,
                   "tls", "renew it, then: andiron reload", "%s ends in %ld days", path, days);
}

void doctor_files(struct doctor *d)
{
    look_at_config(d);
    look_at_modules(d);
    look_at_plugins(d);
    look_at_files(d);
    look_at_clock(d);
    look_at_disk(d);
    look_at_certificate(d);
}
