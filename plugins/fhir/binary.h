/*
 * Binary with its content as it is, not inside JSON (binary.html#rest).
 */
#ifndef FHIR_BINARY_H
#define FHIR_BINARY_H

#include "answer.h"

bool binary_is(const struct resource_type *type);

/* Whether a read wants the content: it names no JSON in Accept, nor in _format. */
bool binary_wants_content(struct andiron_request *req);

/* The resource for content that was sent with its own media type, as text. Pure, any thread. */
andiron_str binary_resource(struct andiron_arena *arena, andiron_str id, andiron_str content_type,
                            andiron_str security_context, andiron_str content);

/* Answers with the content of a stored Binary; 406 if Accept does not allow its media type. */
enum andiron_step binary_answer(struct andiron_request *req, const struct shown *shown);

#endif
