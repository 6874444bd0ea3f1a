/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * list.h - backups as JSON, for vdi list and vdi expire
 */
#ifndef VDI_LIST_H
#define VDI_LIST_H

#include <json-c/json.h>

#include "place.h"

/* The keys are documented in vdi-list(1). */
struct json_object *list_json(const struct place_entry *entry);
void list_print_json(struct json_object *json);
/* Were all lines written to standard output? EXIT_FAILED after a message. */
int list_flush(void);

#endif /* VDI_LIST_H */
