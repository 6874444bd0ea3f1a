// SPDX-License-Identifier: GPL-2.0-only
/*
 * s3_request.c - sign a request to an S3 store, send it, and repeat it
 *
 * libcurl signs, with the SHA-256 of the body that is computed here. A request is
 * repeated after a failure that may pass: at once when a connection was lost for the
 * first time, and then after a random time, which grows with each attempt. The deadline
 * counts from the first failure, so that a slow store is not taken for a broken one.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "s3.h"
#include "common/common.h"

#define SHORTEST	0.1	/* seconds between attempts, at most, in the beginning */
#define LONGEST		10.0	/* and in the end */
#define MAX_STALL	30	/* seconds */

enum verdict { FINAL, AGAIN, AGAIN_AT_ONCE };

static bool stopped(void *context)
{
	return chunk_session_stopped(context);
}

static bool sha256(const void *data, size_t size, char *hex)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n, i;

	if (!EVP_Digest(data ? data : "", size, digest, &n, EVP_sha256(), NULL))
		return false;
	for (i = 0; i < n; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
	return true;
}

static bool make_url(const struct s3_store *store, const struct s3_request *r, char *out,
		     size_t size)
{
	char key[2 * S3_NAME_SIZE], escaped[6 * S3_NAME_SIZE] = "";
	int n;

	if (r->name) {
		snprintf(key, sizeof(key), "%s/%s", store->prefix, r->name);
		if (!http_escape(key, "/", escaped, sizeof(escaped)))
			return false;
	}
	n = snprintf(out, size, "%s%s%s%s", store->base, escaped, r->query ? "?" : "",
		     r->query ? r->query : "");
	return n > 0 && (size_t)n < size;
}

struct headers {
	char sha256[160];
	char token[4200];
};

static void add_header(struct http_request *request, const char *header)
{
	unsigned int i = 0;

	while (request->header[i])
		i++;
	request->header[i] = header;
}

static void send_once(struct s3_session *s, const struct s3_request *r, const char *url,
		      struct headers *headers, const struct s3_keys *keys,
		      struct http_answer *answer)
{
	const struct s3_store *store = (struct s3_store *)s->common.store;
	unsigned int stall = store->common.options.timeout / 3, i;
	struct http_request request = {
		.method = r->method,
		.url = url,
		.header = { headers->sha256 },
		.body = r->body,
		.size = r->size,
		.data = r->data,
		.room = r->room,
		.sigv4 = store->sigv4,
		.user = keys->access,
		.password = keys->secret,
		.stall = stall > MAX_STALL ? MAX_STALL : stall ? : 1,
		.stop = stopped,
		.stop_context = &s->common,
	};

	if (*keys->token) {
		snprintf(headers->token, sizeof(headers->token), "x-amz-security-token: %s",
			 keys->token);
		add_header(&request, headers->token);
	}
	if (r->only_new)
		add_header(&request, "If-None-Match: *");
	for (i = 0; i < 2 && r->header[i]; i++)
		add_header(&request, r->header[i]);
	http_run(s->http, &request, answer);
	explicit_bzero(headers->token, sizeof(headers->token));
}

static bool is_temporary(const struct http_answer *a, const char *code)
{
	switch (a->status) {
	case 408:
	case 409:	/* a conflict with a request at the same time */
	case 425:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return true;
	case 400:
		/* the body was changed on the way, or arrived too slowly */
		return !strcmp(code, "RequestTimeout") || !strcmp(code, "BadDigest") ||
		       !strcmp(code, "XAmzContentSHA256Mismatch");
	default:
		return false;
	}
}

static bool keys_expired(const char *code)
{
	return !strcmp(code, "ExpiredToken") || !strcmp(code, "ExpiredTokenException") ||
	       !strcmp(code, "TokenRefreshRequired");
}

struct attempts {
	unsigned int count;
	bool renewed;		/* expired keys were fetched again */
	bool maybe;		/* the store may have executed one of them */
	double first;		/* time of the first failure */
};

static enum verdict judge(struct s3_store *store, const struct s3_keys *keys,
			  const struct http_answer *a, struct attempts *attempts)
{
	char code[96];

	switch (a->result) {
	case HTTP_STOPPED:
	case HTTP_INVALID:
		return FINAL;
	case HTTP_NOT_SENT:
		return AGAIN;
	case HTTP_LOST:
		return attempts->count == 1 ? AGAIN_AT_ONCE : AGAIN;
	default:
		break;
	}
	if (a->status / 100 == 2)
		return FINAL;
	s3_code(a, code, sizeof(code));
	if (keys_expired(code) && !attempts->renewed) {
		attempts->renewed = true;
		s3_credentials_expired(store->credentials, keys);
		return AGAIN_AT_ONCE;
	}
	return is_temporary(a, code) ? AGAIN : FINAL;
}

static enum chunk_result result_of(const struct s3_request *r, const struct http_answer *a,
				   bool maybe)
{
	char code[96];

	if (a->result == HTTP_ANSWERED && a->status / 100 == 2)
		return a->too_large ? CHUNK_DAMAGED : CHUNK_OK;
	if (a->result == HTTP_STOPPED)
		return r->only_new ? CHUNK_UNKNOWN : CHUNK_STOPPED;
	s3_code(a, code, sizeof(code));
	if (a->result == HTTP_ANSWERED && a->status == 404 &&
	    (!*code || !strcmp(code, "NoSuchKey")))
		return CHUNK_MISSING;
	if (r->only_new && a->status == 412)
		return CHUNK_EXISTS;
	return r->only_new && maybe ? CHUNK_UNKNOWN : CHUNK_FAILED;
}

/* A time between half of the longest and the longest; the longest doubles. */
static double pause_after(unsigned int attempts)
{
	double longest = SHORTEST;
	uint16_t random = 0;

	while (--attempts && longest < LONGEST)
		longest *= 2;
	if (longest > LONGEST)
		longest = LONGEST;
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = 0;
	return longest * (0.5 + random / 131072.0);
}

/* False: give up. */
static bool wait_for_next(struct s3_session *s, enum verdict verdict,
			  struct attempts *attempts)
{
	double deadline, pause, now = vdi_now();

	if (verdict == FINAL)
		return false;
	if (!attempts->first)
		attempts->first = now;
	if (verdict == AGAIN_AT_ONCE)
		return true;
	deadline = s->common.deadline ? : attempts->first + s->common.store->options.timeout;
	if (now >= deadline)
		return false;
	pause = pause_after(attempts->count);
	/* the last attempt is at the deadline */
	return chunk_session_sleep(&s->common, now + pause < deadline ? pause : deadline - now);
}

static void explain(struct s3_session *s, const struct s3_request *r,
		    const struct http_answer *a, const struct attempts *attempts)
{
	const struct s3_store *store = (struct s3_store *)s->common.store;
	char why[300], tried[80] = "";

	s3_explain(store, r, a, why, sizeof(why));
	if (attempts->count > 1)
		snprintf(tried, sizeof(tried), "; gave up after %u attempts in %.0f s",
			 attempts->count, vdi_now() - attempts->first);
	chunk_fail(&s->common, CHUNK_FAILED, "cannot %s %s%s%s: %s%s", r->doing,
		   store->common.address, r->name ? "/" : "", r->name ? r->name : "", why,
		   tried);
}

static enum chunk_result no_keys(struct s3_session *s, const struct s3_request *r,
				 const struct attempts *attempts, const char *why)
{
	enum chunk_result result = CHUNK_FAILED;

	if (attempts->maybe && r->only_new)
		result = CHUNK_UNKNOWN;
	else if (chunk_session_stopped(&s->common))
		result = CHUNK_STOPPED;
	return chunk_fail(&s->common, result, "cannot %s %s: %s", r->doing,
			  s->common.store->address, why);
}

static enum chunk_result attempt(struct s3_session *s, const struct s3_request *r,
				 const char *url, struct headers *headers,
				 struct http_answer *answer)
{
	struct s3_store *store = (struct s3_store *)s->common.store;
	struct attempts attempts = { 0 };
	enum chunk_result result;
	enum verdict verdict;
	struct s3_keys keys;
	char why[700];

	do {
		if (!s3_credentials_get(store->credentials, stopped, &s->common, &keys, why,
					sizeof(why)))
			return no_keys(s, r, &attempts, why);
		attempts.count++;
		send_once(s, r, url, headers, &keys, answer);
		verdict = judge(store, &keys, answer, &attempts);
		if (verdict != FINAL && answer->result != HTTP_NOT_SENT)
			attempts.maybe = true;
	} while (wait_for_next(s, verdict, &attempts));
	explicit_bzero(&keys, sizeof(keys));
	if (chunk_session_stopped(&s->common) && verdict != FINAL)
		answer->result = HTTP_STOPPED;
	result = result_of(r, answer, attempts.maybe);
	if (result == CHUNK_STOPPED)
		return chunk_fail(&s->common, result, "interrupted");
	if (result != CHUNK_OK)
		explain(s, r, answer, &attempts);
	return result;
}

enum chunk_result s3_run(struct s3_session *s, const struct s3_request *r,
			 struct http_answer *answer)
{
	char url[8 * S3_NAME_SIZE], hash[2 * EVP_MAX_MD_SIZE + 1];
	struct headers headers;

	/* unless there is one */
	answer->result = HTTP_INVALID;
	answer->status = 0;
	answer->size = 0;
	answer->length = 0;
	if (!make_url((struct s3_store *)s->common.store, r, url, sizeof(url)))
		return chunk_fail(&s->common, CHUNK_FAILED, "cannot %s %s: its name is too long",
				  r->doing, s->common.store->address);
	if (!sha256(r->body, r->size, hash))
		return chunk_fail(&s->common, CHUNK_FAILED, "cannot compute a SHA-256");
	snprintf(headers.sha256, sizeof(headers.sha256), "x-amz-content-sha256: %s", hash);
	return attempt(s, r, url, &headers, answer);
}
