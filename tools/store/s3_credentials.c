// SPDX-License-Identifier: GPL-2.0-only
/*
 * s3_credentials.c - the keys of an S3 store
 *
 * The first of these sources that is configured is used:
 *
 *   environment   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   web identity  AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's
 *   profile       aws_access_key_id and so on, of AWS_PROFILE
 *   instance      the metadata service of EC2, version 2
 *
 * Keys that expire are fetched again MARGIN seconds before. They are in the memory of
 * this process only: it is not dumped, and no message contains them.
 */
#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "http.h"
#include "s3_credentials.h"
#include "s3_profile.h"

#define MARGIN		300	/* seconds */
#define PAUSE		30	/* between attempts to refresh keys that are valid */
#define LIMIT		30	/* seconds for an answer of the token service */
#define INSTANCE_LIMIT	3	/* the same, of the metadata service */
#define POLL_NS		100000000	/* interval of checks for a stop */

enum source { FROM_ENVIRONMENT, FROM_WEB_IDENTITY, FROM_PROFILE, FROM_INSTANCE };

struct s3_credentials {
	enum source source;
	struct s3_settings settings;
	struct http *http;
	pthread_mutex_t lock;
	pthread_cond_t idle;	/* busy was cleared */
	bool busy;		/* a thread uses the rest, without the lock */
	/* of the thread that has made it busy */
	bool (*stop)(void *context);
	void *stop_context;
	struct s3_keys keys;
	bool valid;
	time_t tried;
};

/* A variable that is set and not empty. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* False: it does not fit. */
static bool set(char *out, size_t size, const char *value)
{
	int n = snprintf(out, size, "%s", value);

	return n >= 0 && (size_t)n < size;
}

/* ----------------------------------------------------------------- settings */

static void find_setting(char *out, size_t size, const char *const *names,
			 const char *key)
{
	for (; *names; names++) {
		if (variable(*names) && set(out, size, variable(*names)))
			return;
	}
	if (!s3_profile_get(key, out, size))
		*out = '\0';
}

/* Of a URL without a host, the next part would be taken for one: that of the bucket. */
static bool has_host(const char *url)
{
	const char *host = NULL;

	if (!strncmp(url, "https://", 8))
		host = url + 8;
	else if (!strncmp(url, "http://", 7))
		host = url + 7;
	return host && *host && !strchr("/:?#", *host);
}

static bool read_settings(struct s3_settings *s, char *why, size_t size)
{
	static const char *const region[] = { "AWS_REGION", "AWS_DEFAULT_REGION", NULL };
	static const char *const endpoint[] = { "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL",
		NULL };
	static const char *const ca_file[] = { "AWS_CA_BUNDLE", NULL };
	const char *style = variable("VDI_S3_PATH_STYLE");

	find_setting(s->region, sizeof(s->region), region, "region");
	find_setting(s->endpoint, sizeof(s->endpoint), endpoint, "endpoint_url");
	find_setting(s->ca_file, sizeof(s->ca_file), ca_file, "ca_bundle");
	s->path_style = -1;
	if (style && strcmp(style, "0") && strcmp(style, "1")) {
		snprintf(why, size, "invalid VDI_S3_PATH_STYLE '%s': must be 0 or 1", style);
		return false;
	}
	if (style)
		s->path_style = *style == '1';
	if (!*s->endpoint || has_host(s->endpoint))
		return true;
	snprintf(why, size, "invalid endpoint '%s': must be https://HOST or http://HOST, with a port if needed",
		 s->endpoint);
	return false;
}

/* ------------------------------------------------------------------ sources */

static bool from_environment(struct s3_keys *keys, char *why, size_t size)
{
	const char *secret = variable("AWS_SECRET_ACCESS_KEY");
	const char *token = variable("AWS_SESSION_TOKEN");

	if (secret && set(keys->access, sizeof(keys->access),
			  variable("AWS_ACCESS_KEY_ID")) &&
	    set(keys->secret, sizeof(keys->secret), secret) &&
	    set(keys->token, sizeof(keys->token), token ? token : ""))
		return true;
	snprintf(why, size, "%s", secret ?
		 "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN is too long" :
		 "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not");
	return false;
}

static bool from_profile(struct s3_keys *keys, char *why, size_t size)
{
	if (s3_profile_get("aws_access_key_id", keys->access, sizeof(keys->access)) &&
	    s3_profile_get("aws_secret_access_key", keys->secret, sizeof(keys->secret))) {
		s3_profile_get("aws_session_token", keys->token, sizeof(keys->token));
		return true;
	}
	snprintf(why, size, "profile '%s' has no aws_access_key_id and aws_secret_access_key",
		 s3_profile_name());
	return false;
}

/* "2026-11-30T01:02:03Z"; 0 = not understood, which is taken as never */
static time_t parse_time(const char *text)
{
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? timegm(&tm) : 0;
}

static bool run(struct s3_credentials *c, struct http_request *request,
		const char *what, char *text, size_t room, char *why, size_t size)
{
	struct http_answer answer;
	char code[96] = "", message[160] = "";

	request->data = (uint8_t *)text;
	request->room = room - 1;
	request->stall = request->limit;
	request->stop = c->stop;
	request->stop_context = c->stop_context;
	http_run(c->http, request, &answer);
	if (answer.result != HTTP_ANSWERED) {
		snprintf(why, size, "no answer of %s: %s", what, answer.why);
		return false;
	}
	text[answer.size] = '\0';
	if (answer.status == 200 && !answer.too_large)
		return true;
	http_xml_text(answer.text, "Code", NULL, code, sizeof(code));
	http_xml_text(answer.text, "Message", NULL, message, sizeof(message));
	snprintf(why, size, "%s answered %d %s%s%s", what, answer.status, code,
		 *message ? ": " : "", message);
	return false;
}

/* --- web identity */

static bool identity_setting(const char *name, const char *key, char *out, size_t size)
{
	const char *const names[] = { name, NULL };

	find_setting(out, size, names, key);
	return *out;
}

static bool read_token(const char *path, char *out, size_t size)
{
	FILE *file;
	size_t n;

	errno = 0;
	file = fopen(path, "re");
	if (!file)
		return false;
	n = fread(out, 1, size - 1, file);
	fclose(file);
	if (n == size - 1) {
		errno = EFBIG;
		return false;
	}
	out[n] = '\0';
	out[strcspn(out, " \r\n")] = '\0';
	return *out;
}

static bool make_identity_body(char *body, size_t room, char *why, size_t size)
{
	char path[512], role[512], name[128], token[8192], part[3 * 8192];
	bool good;
	int n;

	identity_setting("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file",
			 path, sizeof(path));
	if (!read_token(path, token, sizeof(token))) {
		snprintf(why, size, "cannot read the token in %s: %s", path,
			 errno ? strerror(errno) : "it is empty");
		return false;
	}
	if (!identity_setting("AWS_ROLE_ARN", "role_arn", role, sizeof(role))) {
		snprintf(why, size, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
		return false;
	}
	if (!identity_setting("AWS_ROLE_SESSION_NAME", "role_session_name", name, sizeof(name)))
		strcpy(name, "vdi");
	n = snprintf(body, room, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
	good = http_escape(role, "", part, sizeof(part));
	n += snprintf(body + n, room - n, "&RoleArn=%s", part);
	good = good && http_escape(name, "", part, sizeof(part));
	n += snprintf(body + n, room - n, "&RoleSessionName=%s", part);
	good = good && http_escape(token, "", part, sizeof(part));
	n += snprintf(body + n, room - n, "&WebIdentityToken=%s", part);
	explicit_bzero(token, sizeof(token));
	explicit_bzero(part, sizeof(part));
	if (!good)
		snprintf(why, size, "the token in %s is too long", path);
	return good;
}

static void identity_url(const struct s3_credentials *c, char *out, size_t size)
{
	const char *url = variable("AWS_ENDPOINT_URL_STS");

	if (url)
		snprintf(out, size, "%s", url);
	else if (*c->settings.endpoint)
		snprintf(out, size, "%s", c->settings.endpoint);
	else if (*c->settings.region)
		snprintf(out, size, "https://sts.%s.amazonaws.com/", c->settings.region);
	else
		snprintf(out, size, "https://sts.amazonaws.com/");
}

static bool from_web_identity(struct s3_credentials *c, struct s3_keys *keys, char *why,
			      size_t size)
{
	struct http_request request = {
		.method = "POST",
		.header = { "Accept: application/xml" },
		.limit = LIMIT,
	};
	char url[600], expires[64], *body = malloc(32768), *text = malloc(16384);
	bool good = false;

	identity_url(c, url, sizeof(url));
	if (!body || !text) {
		snprintf(why, size, "out of memory");
	} else if (make_identity_body(body, 32768, why, size)) {
		request.url = url;
		request.body = body;
		request.size = strlen(body);
		good = run(c, &request, url, text, 16384, why, size);
	}
	if (good) {
		good = http_xml_text(text, "AccessKeyId", NULL, keys->access,
				     sizeof(keys->access)) &&
		       http_xml_text(text, "SecretAccessKey", NULL, keys->secret,
				     sizeof(keys->secret)) &&
		       http_xml_text(text, "SessionToken", NULL, keys->token,
				     sizeof(keys->token));
		if (http_xml_text(text, "Expiration", NULL, expires, sizeof(expires)))
			keys->expires = parse_time(expires);
		if (!good)
			snprintf(why, size, "the answer of %s has no keys", url);
	}
	if (body)
		explicit_bzero(body, 32768);
	if (text)
		explicit_bzero(text, 16384);
	free(body);
	free(text);
	return good;
}

/* --- metadata service */

#define SESSION_PATH	"/latest/api/token"
#define ROLE_PATH	"/latest/meta-data/iam/security-credentials/"

static const char *instance_address(void)
{
	const char *address = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");

	return address ? address : "http://169.254.169.254";
}

static bool ask_instance(struct s3_credentials *c, const char *path, const char *header,
			 char *text, size_t room, char *why, size_t size)
{
	const char *address = instance_address();
	size_t n = strlen(address);
	char url[700];
	struct http_request request = {
		.method = strcmp(path, SESSION_PATH) ? "GET" : "PUT",
		.url = url,
		.header = { header },
		.limit = INSTANCE_LIMIT,
		.local = true,
	};

	while (n && address[n - 1] == '/')
		n--;
	snprintf(url, sizeof(url), "%.*s%s", (int)n, address, path);
	return run(c, &request, "the instance metadata service", text, room, why, size);
}

static bool take_member(struct json_object *object, const char *key, char *out, size_t size)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) && value &&
	       set(out, size, json_object_get_string(value));
}

static bool parse_instance_keys(const char *text, struct s3_keys *keys, char *why, size_t size)
{
	struct json_object *object = json_tokener_parse(text);
	char expires[64] = "";
	bool good;

	good = object && take_member(object, "AccessKeyId", keys->access, sizeof(keys->access)) &&
	       take_member(object, "SecretAccessKey", keys->secret, sizeof(keys->secret)) &&
	       take_member(object, "Token", keys->token, sizeof(keys->token)) &&
	       take_member(object, "Expiration", expires, sizeof(expires));
	json_object_put(object);
	keys->expires = parse_time(expires);
	if (!good)
		snprintf(why, size, "the answer of the instance metadata service has no keys");
	return good;
}

static bool from_instance(struct s3_credentials *c, struct s3_keys *keys, char *why, size_t size)
{
	char session[512], header[600], role[256], path[400], text[8192];
	bool good;

	good = ask_instance(c, SESSION_PATH, "X-aws-ec2-metadata-token-ttl-seconds: 21600",
			    session, sizeof(session), why, size);
	if (!good)
		return false;
	session[strcspn(session, "\r\n")] = '\0';
	snprintf(header, sizeof(header), "X-aws-ec2-metadata-token: %s", session);
	good = ask_instance(c, ROLE_PATH, header, role, sizeof(role), why, size);
	role[good ? strcspn(role, "\r\n") : 0] = '\0';
	snprintf(path, sizeof(path), ROLE_PATH "%s", role);
	good = good && ask_instance(c, path, header, text, sizeof(text), why, size) &&
	       parse_instance_keys(text, keys, why, size);
	explicit_bzero(text, sizeof(text));
	return good;
}

/* ---------------------------------------------------------------- interface */

static enum source find_source(void)
{
	char text[512];
	bool found;

	if (variable("AWS_ACCESS_KEY_ID"))
		return FROM_ENVIRONMENT;
	if (identity_setting("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file", text,
			     sizeof(text)))
		return FROM_WEB_IDENTITY;
	found = s3_profile_get("aws_access_key_id", text, sizeof(text));
	if (found || variable("AWS_PROFILE"))
		return FROM_PROFILE;
	return FROM_INSTANCE;
}

static bool fetch(struct s3_credentials *c, struct s3_keys *keys, char *why, size_t size)
{
	const char *disabled = variable("AWS_EC2_METADATA_DISABLED");
	char files[1100], cause[400] = "";

	memset(keys, 0, sizeof(*keys));
	switch (c->source) {
	case FROM_ENVIRONMENT:
		return from_environment(keys, why, size);
	case FROM_PROFILE:
		return from_profile(keys, why, size);
	case FROM_WEB_IDENTITY:
		return from_web_identity(c, keys, why, size);
	default:
		if (!(disabled && !strcasecmp(disabled, "true")) &&
		    from_instance(c, keys, cause, sizeof(cause)))
			return true;
		s3_profile_files(files, sizeof(files));
		snprintf(why, size, "no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to a profile in %s%s%s%s",
			 files, *cause ? " (" : "", cause, *cause ? ")" : "");
		return false;
	}
}

struct s3_credentials *s3_credentials_open(struct s3_settings *settings, char *why, size_t size)
{
	struct s3_credentials *c;
	pthread_condattr_t attr;

	if (!read_settings(settings, why, size))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c) {
		snprintf(why, size, "out of memory");
		return NULL;
	}
	/* from here on, memory has keys: no core dump of them */
	prctl(PR_SET_DUMPABLE, 0);
	c->settings = *settings;
	c->source = find_source();
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->idle, &attr);
	pthread_condattr_destroy(&attr);
	return c;
}

void s3_credentials_close(struct s3_credentials *c)
{
	if (!c)
		return;
	http_close(c->http);
	pthread_cond_destroy(&c->idle);
	pthread_mutex_destroy(&c->lock);
	explicit_bzero(&c->keys, sizeof(c->keys));
	free(c);
}

static bool is_usable(const struct s3_credentials *c, time_t now, time_t margin)
{
	return c->valid && (!c->keys.expires || now + margin < c->keys.expires);
}

/* The caller has acquired the keys. */
static bool refresh(struct s3_credentials *c, time_t now, char *why, size_t size)
{
	const char *ca_file = *c->settings.ca_file ? c->settings.ca_file : NULL;
	struct s3_keys keys;
	bool good;

	if (!c->http)
		c->http = http_open(ca_file);
	if (!c->http) {
		snprintf(why, size, "out of memory");
		return false;
	}
	c->tried = now;
	good = fetch(c, &keys, why, size);
	if (good) {
		c->keys = keys;
		c->valid = true;
	}
	explicit_bzero(&keys, sizeof(keys));
	return good;
}

/* Wait a moment for another thread. Called and left with the lock. */
static void wait_idle(struct s3_credentials *c)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += POLL_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&c->idle, &c->lock, &until);
}

/*
 * Another thread may use the keys while it waits for an answer, and then the next one
 * waits for the same. False: stopped.
 */
static bool acquire(struct s3_credentials *c, bool (*stop)(void *context), void *context)
{
	bool acquired = false;

	while (!acquired) {
		if (stop(context))
			return false;
		pthread_mutex_lock(&c->lock);
		if (c->busy)
			wait_idle(c);
		acquired = !c->busy;
		c->busy = true;
		pthread_mutex_unlock(&c->lock);
	}
	c->stop = stop;
	c->stop_context = context;
	return true;
}

static void release(struct s3_credentials *c)
{
	pthread_mutex_lock(&c->lock);
	c->busy = false;
	pthread_cond_signal(&c->idle);
	pthread_mutex_unlock(&c->lock);
}

/* Keys that are still valid for a while are used if they cannot be refreshed. */
bool s3_credentials_get(struct s3_credentials *c, bool (*stop)(void *context), void *context,
			struct s3_keys *keys, char *why, size_t size)
{
	time_t now = time(NULL);
	bool good = true;

	if (!acquire(c, stop, context)) {
		snprintf(why, size, "interrupted");
		return false;
	}
	if (!is_usable(c, now, MARGIN) &&
	    (!is_usable(c, now, 0) || now - c->tried >= PAUSE))
		good = refresh(c, now, why, size) || is_usable(c, now, 0);
	if (good)
		*keys = c->keys;
	release(c);
	return good;
}

void s3_credentials_expired(struct s3_credentials *c, const struct s3_keys *keys)
{
	pthread_mutex_lock(&c->lock);
	while (c->busy)
		wait_idle(c);
	if (!strcmp(c->keys.access, keys->access))
		c->valid = false;
	pthread_mutex_unlock(&c->lock);
}
