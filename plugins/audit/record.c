/*
 * Bodies are made once and never parsed by who makes them.
 */
#include "record.h"

#include <inttypes.h>
#include <stdio.h>

#include <nettle/hmac.h>
#include <nettle/sha2.h>

#include "common/jose/base64url.h"

enum { BODY_MAX = 16 * 1024, HASH_TEXT = 43 };

#define ID_BEGIN "audit."

void record_id(uint64_t number, char out[RECORD_ID + 1])
{
    (void)snprintf(out, RECORD_ID + 1, ID_BEGIN "%020" PRIu64, number);
}

uint64_t record_number(andiron_str id)
{
    uint64_t number = 0;
    if (id.len != RECORD_ID || memcmp(id.data, ID_BEGIN, sizeof(ID_BEGIN) - 1) != 0)
        return 0;
    for (size_t i = sizeof(ID_BEGIN) - 1; i < id.len; i++) {
        if (id.data[i] < '0' || id.data[i] > '9')
            return 0;
        number = number * 10 + (uint64_t)(id.data[i] - '0');
    }
    return number;
}

/* ---- the chain ---------------------------------------------------------------------------- */

void record_hash(andiron_str key, const uint8_t before[AUDIT_HASH], uint64_t number,
                 andiron_str content, uint8_t ret[AUDIT_HASH])
{
    char place[24];
    int len = snprintf(place, sizeof(place), "%" PRIu64 "\n", number);
    if (key.len > 0) {
        struct hmac_sha256_ctx mac;
        hmac_sha256_set_key(&mac, key.len, (const uint8_t *)key.data);
        hmac_sha256_update(&mac, AUDIT_HASH, before);
        hmac_sha256_update(&mac, (size_t)len, (const uint8_t *)place);
        hmac_sha256_update(&mac, content.len, (const uint8_t *)content.data);
        hmac_sha256_digest(&mac, AUDIT_HASH, ret);
        return;
    }
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, AUDIT_HASH, before);
    sha256_update(&hash, (size_t)len, (const uint8_t *)place);
    sha256_update(&hash, content.len, (const uint8_t *)content.data);
    sha256_digest(&hash, AUDIT_HASH, ret);
}

/* ---- an event as FHIR has it -------------------------------------------------------------- */

static const char *action_of(const struct audit_event *e)
{
    const char *o = e->operation != NULL ? e->operation : "";
    if (e->kind == AUDIT_TOKEN || e->kind == AUDIT_EXPORT || e->kind == AUDIT_IMPORT ||
        e->kind == AUDIT_LOST)
        return "E";
    if (e->kind == AUDIT_FORGOT || andiron_str_eq(e->method, ANDIRON_STR("DELETE")))
        return "D";
    if (andiron_str_eq(e->method, ANDIRON_STR("GET")))
        return strstr(o, "Search") != NULL ? "E" : "R";
    if (andiron_str_eq(e->method, ANDIRON_STR("PUT")) ||
        andiron_str_eq(e->method, ANDIRON_STR("PATCH")))
        return e->status == 201 ? "C" : "U";
    return strstr(o, "Create") != NULL ? "C" : "E";
}

static void put_coding(struct andiron_json_writer *w, const char *name, const char *system,
                       const char *code)
{
    andiron_json_put_object(w, name);
    andiron_json_put_str(w, "system", andiron_str_of(system));
    andiron_json_put_str(w, "code", andiron_str_of(code));
    andiron_json_put_end(w);
}

static void put_type(struct andiron_json_writer *w, const struct audit_event *e)
{
    static const char dicom[] = "http://dicom.nema.org/resources/ontology/DCM";
    static const char kinds[] = "http://terminology.hl7.org/CodeSystem/audit-event-type";
    static const char *const names[] = { "",       "token",  "denied", "change",   "export",
                                         "import", "access", "lost",   "forgotten" };

    switch (e->kind) {
    case AUDIT_TOKEN:
        put_coding(w, "type", dicom, "110114"); /* User Authentication */
        break;
    case AUDIT_LOST:
    case AUDIT_FORGOT:
        put_coding(w, "type", dicom, "110101"); /* Audit Log Used */
        break;
    case AUDIT_EXPORT:
        put_coding(w, "type", dicom, "110106"); /* Export */
        break;
    case AUDIT_IMPORT:
        put_coding(w, "type", dicom, "110107"); /* Import */
        break;
    default:
        put_coding(w, "type", kinds, "rest");
    }
    andiron_json_put_array(w, "subtype");
    put_coding(w, NULL, "urn:andiron:audit", names[e->kind]);
    if (e->operation != NULL)
        put_coding(w, NULL, "urn:andiron:operation", e->operation);
    andiron_json_put_end(w);
}

static void put_outcome(struct andiron_json_writer *w, const struct audit_event *e)
{
    char text[320];
    if (e->kind == AUDIT_LOST) {
        andiron_json_put_str(w, "outcome", ANDIRON_STR("8"));
        (void)snprintf(text, sizeof(text), "%" PRId64 " events were not recorded singly", e->count);
    } else if (e->kind == AUDIT_FORGOT) {
        andiron_json_put_str(w, "outcome", ANDIRON_STR("0"));
        (void)snprintf(text, sizeof(text), "%" PRId64 " events were old enough to be forgotten",
                       e->count);
    } else {
        andiron_json_put_str(w, "outcome",
                             e->status > 0 && e->status < 400 ? ANDIRON_STR("0")
                             : e->status < 500                ? ANDIRON_STR("4")
                                                              : ANDIRON_STR("8"));
        (void)snprintf(text, sizeof(text), "%d%s%.*s", e->status, e->reason.len > 0 ? " " : "",
                       (int)e->reason.len, e->reason.len > 0 ? e->reason.data : "");
    }
    andiron_json_put_str(w, "outcomeDesc", andiron_str_of(text));
}

static void put_agent(struct andiron_json_writer *w, const struct audit_event *e)
{
    bool is_ours = e->kind == AUDIT_LOST || e->kind == AUDIT_FORGOT;
    andiron_json_put_array(w, "agent");
    andiron_json_put_object(w, NULL);
    if (e->principal.len > 0) {
        andiron_json_put_object(w, "who");
        andiron_json_put_object(w, "identifier");
        andiron_json_put_str(w, "system",
                             e->is_user ? ANDIRON_STR("urn:andiron:User")
                                        : ANDIRON_STR("urn:andiron:Client"));
        andiron_json_put_str(w, "value", e->principal);
        andiron_json_put_end(w);
        andiron_json_put_end(w);
        andiron_json_put_str(w, "altId", e->principal);
    }
    andiron_json_put_bool(w, "requestor", !is_ours);
    if (e->policy.len > 0) {
        andiron_json_put_array(w, "policy");
        andiron_json_put_str(w, NULL, e->policy);
        andiron_json_put_end(w);
    }
    if (e->remote.len > 0) {
        andiron_json_put_object(w, "network");
        andiron_json_put_str(w, "address", e->remote);
        andiron_json_put_str(w, "type", ANDIRON_STR("2"));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    andiron_json_put_end(w);
}

static void put_what(struct andiron_json_writer *w, const char *system, andiron_str value)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_object(w, "what");
    andiron_json_put_object(w, "identifier");
    andiron_json_put_str(w, "system", andiron_str_of(system));
    andiron_json_put_str(w, "value", value);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
}

/* "Client/lab", where the request names a resource. */
static void put_target(struct andiron_json_writer *w, struct andiron_arena *arena,
                       const struct audit_event *e)
{
    if (e->type.len == 0 || e->id.len == 0)
        return;
    andiron_json_put_object(w, NULL);
    andiron_json_put_object(w, "what");
    andiron_json_put_str(w, "reference",
                         andiron_str_of(andiron_printf(arena, "%.*s/%.*s", (int)e->type.len,
                                                       e->type.data, (int)e->id.len, e->id.data)));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
}

static andiron_str content_of(struct andiron_arena *arena, const char *observer,
                              const struct audit_event *e)
{
    struct andiron_json_writer *w = andiron_json_write(arena, BODY_MAX);
    char recorded[ANDIRON_INSTANT_LEN];

    andiron_instant(e->at, recorded);
    andiron_json_put_object(w, NULL);
    put_type(w, e);
    andiron_json_put_str(w, "action", andiron_str_of(action_of(e)));
    andiron_json_put_str(w, "recorded", (andiron_str){ recorded, sizeof(recorded) });
    put_outcome(w, e);
    put_agent(w, e);
    andiron_json_put_object(w, "source");
    andiron_json_put_object(w, "observer");
    andiron_json_put_str(w, "display", andiron_str_of(observer));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    if (e->request_id.len > 0) {
        andiron_json_put_array(w, "entity");
        put_target(w, arena, e);
        put_what(w, "urn:andiron:request-id", e->request_id);
        if (e->path.len > 0)
            put_what(
                w, "urn:andiron:request",
                andiron_str_of(andiron_printf(arena, "%.*s %.*s", (int)e->method.len,
                                              e->method.data, (int)e->path.len, e->path.data)));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    return (andiron_str){ text.data + 1, text.len - 1 }; /* behind its brace */
}

void record_make(struct andiron_arena *arena, andiron_str key, const char *observer,
                 const struct audit_event *event, struct audit_head *head, struct record *ret)
{
    char hash[HASH_TEXT + 1] = "";
    andiron_str content = content_of(arena, observer, event);

    head->last++;
    record_id(head->last, ret->id);
    record_hash(key, head->hash, head->last, content, head->hash);
    (void)jose_base64url_encode(head->hash, AUDIT_HASH, hash);
    static const char before[] = "{\"resourceType\":\"AuditEvent\",\"id\":\"%s\",\"meta\":"
                                 "{\"versionId\":\"1\",\"lastUpdated\":\"";
    static const char behind[] =
        "%.*s\",\"tag\":[{\"system\":\"" AUDIT_TAG_SYSTEM "\",\"code\":\"" AUDIT_TAG_CODE
        "\"}]},\"extension\":[{\"url\":\"" AUDIT_CHAIN_URL "\",\"valueString\":\"%s\"}],";
    size_t room =
        sizeof(before) + sizeof(behind) + RECORD_ID + ANDIRON_INSTANT_LEN + HASH_TEXT + content.len;
    char *text = andiron_alloc(arena, room);
    char now[ANDIRON_INSTANT_LEN];
    andiron_instant(event->at, now);
    size_t at = (size_t)snprintf(text, room, before, ret->id);
    ret->updated_at = at;
    at += (size_t)snprintf(text + at, room - at, behind, ANDIRON_INSTANT_LEN, now, hash);
    memcpy(text + at, content.data, content.len);
    ret->text = (andiron_str){ text, at + content.len };
}

void record_stamp(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    const struct record *record = state;
    char *text = andiron_copy(arena, record->text);
    andiron_instant(write->updated, text + record->updated_at);
    write->body = (andiron_str){ text, record->text.len };
}

/* ---- reading ------------------------------------------------------------------------------ */

static int read_hash(andiron_str text, uint8_t ret[AUDIT_HASH])
{
    uint8_t bytes[AUDIT_HASH + 1];
    size_t len;
    if (text.len != HASH_TEXT || jose_base64url_decode(text, bytes, &len) != 0 || len != AUDIT_HASH)
        return -1;
    memcpy(ret, bytes, AUDIT_HASH);
    return 0;
}

int record_read(struct andiron_arena *arena, andiron_str body, andiron_str *ret_content,
                uint8_t ret_hash[AUDIT_HASH])
{
    static const char name[] = "\"type\":";
    andiron_json event;
    if (andiron_json_parse(arena, body, &event, NULL) != 0 ||
        read_hash(andiron_json_str(andiron_json_path(event, "extension.0.valueString")),
                  ret_hash) != 0)
        return -1;
    andiron_str type = andiron_json_raw(andiron_json_get(event, "type"));
    if (type.data == NULL || type.data - body.data < (ptrdiff_t)sizeof(name))
        return -1;
    ret_content->data = type.data - (sizeof(name) - 1);
    ret_content->len = (size_t)(body.data + body.len - ret_content->data);
    return memcmp(ret_content->data, name, sizeof(name) - 1) == 0 ? 0 : -1;
}

/* ---- the head ----------------------------------------------------------------------------- */

andiron_str head_write(struct andiron_arena *arena, const struct audit_head *head)
{
    char hash[HASH_TEXT + 1] = "", forgotten[HASH_TEXT + 1] = "";
    (void)jose_base64url_encode(head->hash, AUDIT_HASH, hash);
    (void)jose_base64url_encode(head->forgotten_hash, AUDIT_HASH, forgotten);
    return andiron_str_of(andiron_printf(arena,
                                         "{\"resourceType\":\"_Audit\",\"last\":%" PRIu64
                                         ",\"hash\":\"%s\",\"forgotten\":%" PRIu64
                                         ",\"forgottenHash\":\"%s\"}",
                                         head->last, hash, head->forgotten, forgotten));
}

int head_read(struct andiron_arena *arena, andiron_str body, struct audit_head *ret)
{
    andiron_json head;
    if (andiron_json_parse(arena, body, &head, NULL) != 0)
        return -1;
    ret->last = (uint64_t)andiron_json_int(andiron_json_get(head, "last"), 0);
    ret->forgotten = (uint64_t)andiron_json_int(andiron_json_get(head, "forgotten"), 0);
    return read_hash(andiron_json_str(andiron_json_get(head, "hash")), ret->hash) == 0 &&
                   read_hash(andiron_json_str(andiron_json_get(head, "forgottenHash")),
                             ret->forgotten_hash) == 0
               ? 0
               : -1;
}
