// SPDX-License-Identifier: GPL-2.0-only
/*
 * s3_error.c - errors of S3 stores in words
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "s3.h"
#include "common/common.h"

#define MAX_SKEW	(15 * 60)	/* seconds; S3 rejects more */

static const struct {
	const char *code;
	const char *advice;
} advices[] = {
	{ "SignatureDoesNotMatch", "the secret key does not belong to the access key" },
	{ "InvalidAccessKeyId", "the store does not know this access key" },
	{ "AccessDenied",
	  "the key needs the permissions to list the bucket, and to get, put and delete objects" },
	{ "AuthorizationHeaderMalformed", "set AWS_REGION to the region of the bucket" },
	{ "PermanentRedirect", "set AWS_REGION to the region of the bucket" },
	{ "TemporaryRedirect", "set AWS_REGION to the region of the bucket" },
	{ "IllegalLocationConstraintException", "set AWS_REGION to the region of the bucket" },
	{ "InvalidToken", "AWS_SESSION_TOKEN does not belong to the access key" },
	{ "ExpiredToken", "get new temporary keys" },
	{ "QuotaExceeded", "the quota of the user or of the bucket is exhausted" },
};

void s3_code(const struct http_answer *answer, char *out, size_t size)
{
	http_xml_text(answer->text, "Code", NULL, out, size);
}

static bool is_skewed(const struct http_answer *answer, const char *code, char *out, size_t size)
{
	double skew = answer->date ? difftime(answer->date, time(NULL)) : 0;
	char text[64];

	if (strcmp(code, "RequestTimeTooSkewed") &&
	    (answer->status != 403 || fabs(skew) < MAX_SKEW))
		return false;
	if (fabs(skew) < 1) {
		snprintf(out, size, "the clocks of this host and of the store differ; set the clock");
		return true;
	}
	vdi_format_duration(fabs(skew), text, sizeof(text));
	snprintf(out, size, "the clock of this host is %s %s that of the store; set the clock",
		 text, skew > 0 ? "behind" : "ahead of");
	return true;
}

/* False: nothing helps that is generally known. */
static bool advise(const struct s3_store *store, const struct s3_request *request,
		   const struct http_answer *answer, const char *code, char *out, size_t size)
{
	size_t i;

	if (is_skewed(answer, code, out, size))
		return true;
	if (!strcmp(code, "NoSuchBucket")) {
		snprintf(out, size, "bucket '%s' does not exist; create it", store->bucket);
		return true;
	}
	if (request->only_new && answer->status == 501) {
		snprintf(out, size, "the store does not support If-None-Match, which vdi requires");
		return true;
	}
	for (i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		if (strcmp(code, advices[i].code))
			continue;
		snprintf(out, size, "%s", advices[i].advice);
		return true;
	}
	return false;
}

/* The text of the store is printed on terminals. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

void s3_explain(const struct s3_store *store, const struct s3_request *request,
		const struct http_answer *answer, char *out, size_t size)
{
	char code[96], message[160], advice[200];

	if (answer->result != HTTP_ANSWERED) {
		snprintf(out, size, "%s", answer->why);
		return;
	}
	s3_code(answer, code, sizeof(code));
	if (!advise(store, request, answer, code, advice, sizeof(advice)))
		http_xml_text(answer->text, "Message", NULL, advice, sizeof(advice));
	snprintf(message, sizeof(message), "%d%s%s", answer->status, *code ? " " : "", code);
	if (*advice)
		snprintf(out, size, "%s (%s)", advice, message);
	else
		snprintf(out, size, "the store answered %s", message);
	make_printable(out);
}
