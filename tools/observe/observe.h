/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * observe.h - looking at sets from outside, as the commands of this folder do
 */
#ifndef VDI_OBSERVE_H
#define VDI_OBSERVE_H

#include <libvdi.h>

#include "common/common.h"

/* A set at one time. */
struct observed_set {
	struct vdi_set_status status;
	struct vdi_device_status device[VDI_MAX_DEVICES];
};

/* An observer with access to the device; NULL after a message, *exit_code set. */
struct vdi_observer *observe_open(int *exit_code);
/* Independent of /dev: the device may be out of reach. */
bool observe_module_is_loaded(void);
/*
 * The number of the set that a name on the command line stands for: NAME, or
 * USER:NAME for one that USER created. False after an error message.
 */
bool observe_find(struct vdi_observer *observer, const char *name, uint64_t *id,
		  int *exit_code);
/* An argument of --id. False after an error message. */
bool observe_parse_id(const char *text, uint64_t *id);
/*
 * The set with the number *id, or if that is 0, of this name. `what` describes it in
 * messages. False after an error message.
 */
bool observe_choose(struct vdi_observer *observer, const char *name,
		    uint64_t *id, char *what, size_t size, int *exit_code);
/* False: the set is gone, or another error. */
bool observe_set(struct vdi_observer *observer, uint64_t id,
		 struct observed_set *set);
/* The message of the last failure, valid until the next call. */
const char *observe_message(struct vdi_observer *observer);
/* Bytes that all devices have transferred. */
uint64_t observe_bytes(const struct observed_set *set);

#endif /* VDI_OBSERVE_H */
