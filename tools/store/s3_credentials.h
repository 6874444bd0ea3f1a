/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * s3_credentials.h - keys and settings of an S3 store, from where AWS tools find them
 */
#ifndef VDI_S3_CREDENTIALS_H
#define VDI_S3_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct s3_keys {
	char access[256];
	char secret[256];
	char token[4096];	/* "" = none */
	time_t expires;		/* 0 = never */
};

struct s3_settings {
	char region[64];	/* "" = none */
	char endpoint[512];	/* URL; "" = AWS */
	char ca_file[512];	/* "" = that of the system */
	int path_style;		/* -1 = by the endpoint */
};

/* Keys with their source, which are fetched again before they expire. */
struct s3_credentials;

/* NULL: see `why`. Fetches nothing. */
struct s3_credentials *s3_credentials_open(struct s3_settings *settings,
					   char *why, size_t size);
void s3_credentials_close(struct s3_credentials *c);
/*
 * Thread-safe. False: see `why`; it names what was tried. A stop, which is polled, ends
 * the wait for the source of the keys.
 */
bool s3_credentials_get(struct s3_credentials *c,
			bool (*stop)(void *context), void *context,
			struct s3_keys *keys, char *why, size_t size);
/* The store has rejected these keys as expired: the next call fetches new ones. */
void s3_credentials_expired(struct s3_credentials *c,
			    const struct s3_keys *keys);

#endif /* VDI_S3_CREDENTIALS_H */
