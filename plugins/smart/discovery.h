/*
 * smart-configuration (SMART App Launch 2.2, conformance): assembled from what the
 * plugins say of themselves, so that it lists only what is loaded.
 */
#ifndef SMART_DISCOVERY_H
#define SMART_DISCOVERY_H

#include <andiron/plugin.h>

struct discovery;

/*
 * Collects the services "discovery/1:". With a configured base-url the document is put
 * together once, here; else per request. NULL and err if two plugins contradict each other.
 */
struct discovery *discovery_new(struct andiron_host *host, struct andiron_error *err);

/* Serves the document: public, application/json whatever Accept, any origin (DS-1, DS-5). */
enum andiron_step discovery_serve(const struct discovery *discovery, struct andiron_request *req);

#endif
