/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * observe.h - looking at sets from outside, by the kernel's interface
 */
#ifndef VDI_OBSERVE_H
#define VDI_OBSERVE_H

#include <linux/vdiset.h>

#include "common/common.h"

/* A set file; -1 after an error message, *exit_code set. */
int observe_open(int *exit_code);
/* Independent of /dev: the device may be out of reach. */
bool observe_module_is_loaded(void);
/* Walk the sets: all 0 first. False when there are no more. */
bool observe_next(int fd, struct vdiset_list *list);
/*
 * The number of the set that a name on the command line stands for: NAME, or
 * USER:NAME for one that USER created. False after an error message.
 */
bool observe_find(int fd, const char *name, uint64_t *id, int *exit_code);
/* An observer's file of the set; -1: it has gone, errno tells. */
int observe_attach(uint64_t id);
bool observe_status(int fd, struct vdiset_status *status);
bool observe_device(int fd, unsigned int index,
		    struct vdiset_device_status *status);
bool observe_abort(int fd, const char *text);
bool observe_info(int fd, struct vdiset_info *info);
const char *observe_state_name(uint32_t state);
const char *observe_reason_name(uint32_t reason);
/* A name for the terminal: bytes that are no text become \xNN. */
void observe_escape(const char *name, size_t length, char *buf, size_t size);

#endif /* VDI_OBSERVE_H */
