// SPDX-License-Identifier: GPL-2.0-only
/*
 * s3_remove.c - remove many objects of an S3 store with one request
 *
 * The answer lists the keys that were removed, and those that were not. These are removed
 * one after the other, which repeats what may pass and finds out why. A store that does
 * not know the request is asked only once.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"

#define DIGEST_SIZE	(2 * EVP_MAX_MD_SIZE + 32)	/* of a header with a digest */

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("&<>", *text))
			fprintf(out, "&#%d;", *text);
		else
			fputc(*text, out);
	}
}

/* The caller frees the text; NULL: out of memory. */
static char *make_body(const struct s3_store *store, char *const *names, unsigned int count,
		       size_t *size)
{
	char *body = NULL;
	FILE *out = open_memstream(&body, size);
	unsigned int i;
	bool good;

	if (!out)
		return NULL;
	fputs("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", out);
	for (i = 0; i < count; i++) {
		fputs("<Object><Key>", out);
		put_escaped(out, store->prefix);
		fputc('/', out);
		put_escaped(out, names[i]);
		fputs("</Key></Object>", out);
	}
	fputs("</Delete>", out);
	good = !ferror(out);
	if (!fclose(out) && good)
		return body;
	free(body);
	return NULL;
}

/* S3 demands this header. False: there is no MD5, as in a FIPS mode of OpenSSL. */
static bool make_digest(const void *data, size_t size, char out[DIGEST_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE];
	unsigned int n;

	if (!EVP_Digest(data, size, digest, &n, EVP_md5(), NULL))
		return false;
	EVP_EncodeBlock(text, digest, n);
	snprintf(out, DIGEST_SIZE, "Content-MD5: %s", text);
	return true;
}

static unsigned int count_removed(const char *page)
{
	unsigned int count = 0;

	while ((page = strstr(page, "<Deleted>"))) {
		page += strlen("<Deleted>");
		count++;
	}
	return count;
}

static enum chunk_result read_answer(struct chunk_session *session, const char *page,
				     char *const *names, unsigned int count,
				     unsigned int *left)
{
	const struct s3_store *store = (struct s3_store *)session->store;
	unsigned int removed = count_removed(page);
	enum chunk_result result;
	char key[S3_NAME_SIZE];
	const char *name;

	while ((page = strstr(page, "<Error>")) && removed < count) {
		page += strlen("<Error>");
		http_xml_text(page, "Key", NULL, key, sizeof(key));
		name = s3_below(store, key);
		if (!name)
			break;
		result = chunk_s3.remove(session, name);
		if (result != CHUNK_OK) {
			*left = count - removed;
			return result;
		}
		removed++;
	}
	*left = 0;
	/* not each key was mentioned */
	return removed >= count ? CHUNK_OK : chunk_remove_each(session, names, count, left);
}

static bool is_unsupported(const struct http_answer *a)
{
	return a->result == HTTP_ANSWERED && (a->status / 100 == 4 || a->status == 501);
}

/* `page` has room for the answer. */
static enum chunk_result remove_many(struct s3_session *s, char *const *names,
				     unsigned int count, char *page, unsigned int *left)
{
	struct s3_store *store = (struct s3_store *)s->common.store;
	char digest[DIGEST_SIZE];
	struct s3_request request = {
		.doing = "remove chunks of",
		.method = "POST",
		.query = "delete=",
		.header = { digest, "Content-Type: application/xml" },
		.data = (uint8_t *)page,
		.room = S3_PAGE_SIZE - 1,
	};
	char *body = make_body(store, names, count, &request.size);
	enum chunk_result result = CHUNK_FAILED;
	struct http_answer answer;

	if (!body)
		return chunk_fail(&s->common, CHUNK_FAILED, "out of memory");
	request.body = body;
	if (make_digest(body, request.size, digest))
		result = s3_run(s, &request, &answer);
	else
		store->single_removals = true;
	free(body);
	if (result != CHUNK_OK) {
		if (!store->single_removals && !is_unsupported(&answer))
			return result;
		store->single_removals = true;
		return chunk_remove_each(&s->common, names, count, left);
	}
	page[answer.size] = '\0';
	return read_answer(&s->common, page, names, count, left);
}

enum chunk_result s3_remove_many(struct chunk_session *session, char *const *names,
				 unsigned int count, unsigned int *left)
{
	enum chunk_result result;
	char *page;

	*left = count;
	if (((struct s3_store *)session->store)->single_removals)
		return chunk_remove_each(session, names, count, left);
	page = malloc(S3_PAGE_SIZE);
	if (!page)
		return chunk_fail(session, CHUNK_FAILED, "out of memory");
	result = remove_many((struct s3_session *)session, names, count, page, left);
	free(page);
	return result;
}
