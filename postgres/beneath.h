/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * beneath.h - directories by descriptor, and what is below them
 *
 * No function here follows a symbolic link or leaves the directory it was
 * called with. All return -1 with errno on failure.
 */
#ifndef VDISET_BENEATH_H
#define VDISET_BENEATH_H

#include <stdbool.h>

#define BENEATH_MAX_DEPTH 64	/* components of a path */

/* The directory PATH, relative to ROOT; "" is ROOT itself. */
int beneath_open(int root, const char *path);
/* An empty file NAME in DIR, for writing; replaces one that is there. */
int beneath_create(int dir, const char *name);
/* 1: the directory is empty, 0: it is not. */
int beneath_is_empty(int dir);
/* Remove everything in the directory. */
int beneath_clear(int dir);

#endif /* VDISET_BENEATH_H */
