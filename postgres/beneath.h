/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * beneath.h - access to the contents of a directory by its descriptor
 *
 * No function follows a symbolic link or leaves the directory that it is called
 * with. All return -1 with errno on failure.
 */
#ifndef VDISET_BENEATH_H
#define VDISET_BENEATH_H

#include <stdbool.h>

#define BENEATH_MAX_DEPTH 64	/* components of a path */

/* Open the directory PATH, relative to ROOT; "" is ROOT itself. */
int beneath_open(int root, const char *path);
/* Create the empty file NAME in DIR for writing, replacing an existing one. */
int beneath_create(int dir, const char *name);
/* Returns 1 if the directory is empty, otherwise 0. */
int beneath_is_empty(int dir);
/* Remove everything in the directory. */
int beneath_clear(int dir);

#endif /* VDISET_BENEATH_H */
