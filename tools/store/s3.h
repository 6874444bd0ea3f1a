/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * s3.h - what the files of the S3 driver share
 */
#ifndef VDI_S3_H
#define VDI_S3_H

#include "chunk.h"
#include "http.h"
#include "s3_credentials.h"

#define S3_NAME_SIZE	1100	/* of a key; S3 allows 1024 bytes */
#define S3_PAGE_SIZE	(4U << 20)	/* of an answer about 1000 keys */

struct s3_store {
	struct chunk_store common;	/* first */
	char bucket[64];
	char prefix[S3_NAME_SIZE];	/* no slash at either end */
	char base[800];			/* URL of the bucket, with a slash at the end */
	char sigv4[128];
	struct s3_settings settings;
	struct s3_credentials *credentials;
	bool single_removals;	/* the store does not support others */
};

struct s3_session {
	struct chunk_session common;	/* first */
	struct http *http;
};

struct s3_request {
	const char *doing;	/* "store", for messages */
	const char *method;
	const char *name;	/* relative to the prefix; NULL = the bucket */
	const char *query;	/* NULL = none */
	const char *header[2];	/* others, NULL = none */
	const void *body;
	size_t size;
	bool only_new;
	uint8_t *data;		/* for the answer */
	size_t room;
};

/* s3.c: the name of a key below the prefix, relative to it; NULL: it is not below */
const char *s3_below(const struct s3_store *store, const char *key);
/* s3_remove.c */
enum chunk_result s3_remove_many(struct chunk_session *session, char *const *names,
				 unsigned int count, unsigned int *left);
/* s3_request.c: sign, send, repeat. An answer of 2xx is CHUNK_OK. */
enum chunk_result s3_run(struct s3_session *s, const struct s3_request *request,
			 struct http_answer *answer);
/* s3_error.c: the reason for an answer that is not 2xx, and what to do */
void s3_explain(const struct s3_store *store, const struct s3_request *request,
		const struct http_answer *answer, char *out, size_t size);
/* The code of an error, as "NoSuchKey"; "" = none. */
void s3_code(const struct http_answer *answer, char *out, size_t size);

#endif /* VDI_S3_H */
