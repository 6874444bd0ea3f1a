// SPDX-License-Identifier: GPL-2.0-only
/*
 * s3.c - chunk stores in a bucket of S3, of AWS or of another server
 *
 * Each chunk is an object of its own, stored by one PUT. A multipart upload would not
 * do: its parts have at least 5 MiB, but a Flush may follow any byte; and parts that a
 * crash leaves are invisible.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"

#define SCHEME		"s3://"
#define TOKEN_SIZE	1024

/* ---------------------------------------------------------------- the address */

static bool good_bucket(const char *bucket)
{
	size_t i, n = strlen(bucket);

	if (n < 3 || n > 63 || !isalnum((unsigned char)*bucket))
		return false;
	for (i = 0; i < n; i++) {
		if (!isalnum((unsigned char)bucket[i]) && !strchr(".-_", bucket[i]))
			return false;
	}
	return true;
}

/*
 * Servers, proxies and libcurl treat empty parts, "." and ".." in different ways. A slash
 * may be the last character.
 */
static bool good_parts(const char *part)
{
	size_t n;

	do {
		n = strcspn(part, "/");
		if (!n || (n == 1 && *part == '.') || (n == 2 && !strncmp(part, "..", 2)))
			return false;
		part += n + (part[n] == '/');
	} while (*part);
	return true;
}

static bool good_prefix(const char *prefix)
{
	const char *c;

	for (c = prefix; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	}
	return good_parts(prefix) && c[-1] != '/';
}

/* s3://BUCKET/PREFIX */
static bool parse_address(struct s3_store *store, const char *address, char *why, size_t size)
{
	const char *bucket = address + strlen(SCHEME);
	size_t n = strcspn(bucket, "/"), end;

	snprintf(store->bucket, sizeof(store->bucket), "%.*s", (int)n, bucket);
	if (n >= sizeof(store->bucket) || !good_bucket(store->bucket)) {
		snprintf(why, size, "%s: invalid name of a bucket; the form is s3://BUCKET/PREFIX",
			 address);
		return false;
	}
	snprintf(store->prefix, sizeof(store->prefix), "%s", bucket[n] ? bucket + n + 1 : "");
	end = strlen(store->prefix);
	if (end && store->prefix[end - 1] == '/')
		store->prefix[end - 1] = '\0';
	if (end < 900 && good_prefix(store->prefix))
		return true;
	snprintf(why, size, "%s: a prefix is required, without empty parts, '.' and '..'; the form is s3://BUCKET/PREFIX",
		 address);
	return false;
}

static bool is_aws(const char *endpoint)
{
	size_t n = strcspn(endpoint + strcspn(endpoint, "/") + 2, "/:");
	const char *host = endpoint + strcspn(endpoint, "/") + 2;
	static const char domain[] = ".amazonaws.com";
	size_t length = sizeof(domain) - 1;

	return n > length && !strncmp(host + n - length, domain, length);
}

/* In a certificate, the * before a domain does not cover a name with a dot. */
static bool uses_path(const struct s3_store *store, const char *endpoint)
{
	if (store->settings.path_style >= 0)
		return store->settings.path_style;
	return !is_aws(endpoint) || strchr(store->bucket, '.');
}

static void make_base(struct s3_store *store)
{
	struct s3_settings *s = &store->settings;
	char endpoint[sizeof(s->endpoint) + 64];
	size_t scheme, n;

	if (!*s->region)
		strcpy(s->region, "us-east-1");
	snprintf(store->sigv4, sizeof(store->sigv4), "aws:amz:%s:s3", s->region);
	if (*s->endpoint)
		snprintf(endpoint, sizeof(endpoint), "%s", s->endpoint);
	else
		snprintf(endpoint, sizeof(endpoint), "https://s3.%s.amazonaws.com", s->region);
	n = strlen(endpoint);
	if (endpoint[n - 1] == '/')
		endpoint[n - 1] = '\0';
	scheme = strstr(endpoint, "://") + 3 - endpoint;
	if (uses_path(store, endpoint))
		snprintf(store->base, sizeof(store->base), "%s/%s/", endpoint, store->bucket);
	else
		snprintf(store->base, sizeof(store->base), "%.*s%s.%s/", (int)scheme, endpoint,
			 store->bucket, endpoint + scheme);
}

static struct chunk_store *s3_open(const char *address, char *why, size_t size)
{
	struct s3_store *store = calloc(1, sizeof(*store));
	char text[300];

	if (!store) {
		snprintf(why, size, "%s: out of memory", address);
		return NULL;
	}
	if (!parse_address(store, address, why, size)) {
		free(store);
		return NULL;
	}
	store->credentials = s3_credentials_open(&store->settings, text, sizeof(text));
	if (!store->credentials) {
		snprintf(why, size, "%s: %s", address, text);
		free(store);
		return NULL;
	}
	make_base(store);
	return &store->common;
}

static void s3_close(struct chunk_store *store)
{
	struct s3_store *s3 = (struct s3_store *)store;

	s3_credentials_close(s3->credentials);
	free(s3);
}

static struct chunk_session *s3_connect(struct chunk_store *store)
{
	const struct s3_settings *settings = &((struct s3_store *)store)->settings;
	struct s3_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->common.store = store;
	s->http = http_open(*settings->ca_file ? settings->ca_file : NULL);
	if (s->http)
		return &s->common;
	free(s);
	return NULL;
}

static void s3_disconnect(struct chunk_session *session)
{
	struct s3_session *s = (struct s3_session *)session;

	http_close(s->http);
	free(s);
}

/* -------------------------------------------------------------------- objects */

static enum chunk_result s3_put(struct chunk_session *session, const char *name,
				const void *data, size_t size, bool only_new)
{
	struct s3_request request = {
		.doing = "store",
		.method = "PUT",
		.name = name,
		.body = data,
		.size = size,
		.only_new = only_new,
	};
	struct http_answer answer;

	return s3_run((struct s3_session *)session, &request, &answer);
}

static enum chunk_result s3_get(struct chunk_session *session, const char *name, void *data,
				size_t room, size_t *size)
{
	struct s3_request request = {
		.doing = "read",
		.method = "GET",
		.name = name,
		.data = data,
		.room = room,
	};
	enum chunk_result result;
	struct http_answer answer;

	result = s3_run((struct s3_session *)session, &request, &answer);
	*size = answer.size;
	if (result == CHUNK_DAMAGED)
		chunk_fail(session, result, "%s is damaged: it has more than %zu bytes", name,
			   room);
	return result;
}

/*
 * The answer to a HEAD has no text, so one to a GET of the first byte says why it
 * failed, and whether the bucket is missing, too.
 */
static enum chunk_result s3_head(struct chunk_session *session, const char *name,
				 uint64_t *size)
{
	struct s3_request request = { .doing = "read", .method = "HEAD", .name = name };
	enum chunk_result result;
	struct http_answer answer;
	uint8_t byte[64];

	result = s3_run((struct s3_session *)session, &request, &answer);
	*size = answer.length;
	if (result == CHUNK_OK || answer.result != HTTP_ANSWERED)
		return result;
	request.method = "GET";
	request.header[0] = "Range: bytes=0-0";
	request.data = byte;
	request.room = sizeof(byte);
	result = s3_run((struct s3_session *)session, &request, &answer);
	/* it has been stored in between */
	if (result == CHUNK_OK)
		return chunk_fail(session, CHUNK_FAILED, "%s is being changed by another program",
				  name);
	return result;
}

static enum chunk_result s3_remove(struct chunk_session *session, const char *name)
{
	struct s3_request request = { .doing = "remove", .method = "DELETE", .name = name };
	struct http_answer answer;
	enum chunk_result result;

	result = s3_run((struct s3_session *)session, &request, &answer);
	return result == CHUNK_MISSING ? CHUNK_OK : result;
}

/* --------------------------------------------------------------------- listing */

const char *s3_below(const struct s3_store *store, const char *key)
{
	size_t n = strlen(store->prefix);

	if (strncmp(key, store->prefix, n) || key[n] != '/')
		return NULL;
	/* libcurl would send a request for another object */
	return good_parts(key + n + 1) ? key + n + 1 : NULL;
}

/* Names that begin with the same "NAME/", which the store has combined. */
static bool list_groups(const struct s3_store *store, const char *page, chunk_listed *listed,
			void *context)
{
	char key[S3_NAME_SIZE];
	const char *name;

	while ((page = strstr(page, "<CommonPrefixes>"))) {
		page += strlen("<CommonPrefixes>");
		http_xml_text(page, "Prefix", NULL, key, sizeof(key));
		name = s3_below(store, key);
		if (name && !listed(context, name, 0, ""))
			return false;
	}
	return true;
}

/* False: the list was ended by the caller. */
static bool list_objects(const struct s3_store *store, const char *page, chunk_listed *listed,
		      void *context)
{
	char key[S3_NAME_SIZE], size[32], changed[64];
	const char *name;

	while ((page = strstr(page, "<Contents>"))) {
		page += strlen("<Contents>");
		http_xml_text(page, "Key", NULL, key, sizeof(key));
		name = s3_below(store, key);
		if (!name)
			continue;
		http_xml_text(page, "Size", NULL, size, sizeof(size));
		http_xml_text(page, "LastModified", NULL, changed, sizeof(changed));
		if (!listed(context, name, strtoull(size, NULL, 10), changed))
			return false;
	}
	return true;
}

/*
 * A page that was taken for the last one by mistake would hide backups, or leave chunks.
 * *token is empty at the end of the list, and new on each page.
 */
static bool read_token(const char *page, char token[TOKEN_SIZE])
{
	char truncated[8], previous[TOKEN_SIZE];

	memcpy(previous, token, TOKEN_SIZE);
	*token = '\0';
	if (!strstr(page, "</ListBucketResult>") ||
	    !http_xml_text(page, "IsTruncated", NULL, truncated, sizeof(truncated)))
		return false;
	if (!strcmp(truncated, "false"))
		return true;
	return http_xml_text(page, "NextContinuationToken", NULL, token, TOKEN_SIZE) &&
	       *token && strcmp(token, previous);
}

static bool make_query(const struct s3_store *store, const char *prefix, bool shallow,
		       const char *token, char *out, size_t size)
{
	char name[2 * S3_NAME_SIZE], escaped[6 * S3_NAME_SIZE], next[3 * TOKEN_SIZE] = "";
	int n;

	snprintf(name, sizeof(name), "%s/%s", store->prefix, prefix);
	if (!http_escape(name, "", escaped, sizeof(escaped)) ||
	    !http_escape(token, "", next, sizeof(next)))
		return false;
	/* the keys of a query are signed in this order */
	n = snprintf(out, size, "%s%s%s%slist-type=2&prefix=%s",
		     *token ? "continuation-token=" : "", next, *token ? "&" : "",
		     shallow ? "delimiter=%2F&" : "", escaped);
	return n > 0 && (size_t)n < size;
}

static enum chunk_result list(struct s3_session *s, const char *prefix, bool shallow, char *page,
			      chunk_listed *listed, void *context)
{
	const struct s3_store *store = (struct s3_store *)s->common.store;
	char query[7 * S3_NAME_SIZE], token[TOKEN_SIZE] = "";
	struct s3_request request = {
		.doing = "list",
		.method = "GET",
		.query = query,
		.data = (uint8_t *)page,
		.room = S3_PAGE_SIZE - 1,
	};
	enum chunk_result result;
	struct http_answer answer;

	do {
		if (!make_query(store, prefix, shallow, token, query, sizeof(query)))
			return chunk_fail(&s->common, CHUNK_FAILED, "cannot list %s: too long",
					  prefix);
		result = s3_run(s, &request, &answer);
		if (result != CHUNK_OK)
			return result == CHUNK_MISSING ? CHUNK_FAILED : result;
		page[answer.size] = '\0';
		if (!read_token(page, token))
			return chunk_fail(&s->common, CHUNK_FAILED,
					  "cannot list %s: the answer of the store is not a page of a list",
					  store->common.address);
		if (!list_objects(store, page, listed, context) ||
		    !list_groups(store, page, listed, context))
			return CHUNK_OK;
	} while (*token);
	return CHUNK_OK;
}

static enum chunk_result s3_list(struct chunk_session *session, const char *prefix, bool shallow,
				 chunk_listed *listed, void *context)
{
	enum chunk_result result;
	char *page = malloc(S3_PAGE_SIZE);

	if (!page)
		return chunk_fail(session, CHUNK_FAILED, "out of memory");
	result = list((struct s3_session *)session, prefix, shallow, page, listed, context);
	free(page);
	return result;
}

const struct chunk_driver chunk_s3 = {
	.open = s3_open,
	.close = s3_close,
	.connect = s3_connect,
	.disconnect = s3_disconnect,
	.put = s3_put,
	.get = s3_get,
	.head = s3_head,
	.remove = s3_remove,
	.remove_many = s3_remove_many,
	.list = s3_list,
};

/* For programs that are linked with the driver. */
const struct chunk_driver *chunk_s3_driver(char *why, size_t size)
{
	(void)why;
	(void)size;
	return &chunk_s3;
}
