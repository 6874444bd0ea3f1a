// SPDX-License-Identifier: GPL-2.0-only
/*
 * http.c - a single HTTP request at a time, with libcurl
 *
 * The multi interface is used for one transfer, because its wait is short: a stop is
 * noticed within POLL_MS. Redirections are not followed, as a signature is valid for
 * one host only.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http.h"

#define POLL_MS		100
#define CONNECT_TIME	10	/* seconds */
#define SLOWEST		512	/* bytes per second that are no progress */

struct http {
	CURLM *multi;
	CURL *easy;
	char *ca_file;
	char error[CURL_ERROR_SIZE];
	/* of the request that is running */
	const struct http_request *request;
	struct http_answer *answer;
	size_t sent;
	size_t text_size;
};

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http *http_open(const char *ca_file)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http *http = calloc(1, sizeof(*http));

	pthread_once(&once, init_curl);
	if (!http)
		return NULL;
	http->ca_file = ca_file ? strdup(ca_file) : NULL;
	http->multi = curl_multi_init();
	http->easy = curl_easy_init();
	if (http->multi && http->easy && (!ca_file || http->ca_file))
		return http;
	http_close(http);
	return NULL;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->easy);
	curl_multi_cleanup(http->multi);
	free(http->ca_file);
	free(http);
}

/* ---------------------------------------------------------------- callbacks */

static size_t send_body(char *out, size_t size, size_t count, void *context)
{
	struct http *http = context;
	size_t n = size * count, left = http->request->size - http->sent;

	if (n > left)
		n = left;
	memcpy(out, (const char *)http->request->body + http->sent, n);
	http->sent += n;
	return n;
}

/* libcurl repeats a request if a kept connection turns out to be closed. */
static int rewind_body(void *context, curl_off_t offset, int origin)
{
	struct http *http = context;

	if (origin != SEEK_SET || (size_t)offset > http->request->size)
		return CURL_SEEKFUNC_CANTSEEK;
	http->sent = offset;
	return CURL_SEEKFUNC_OK;
}

static void keep_text(struct http *http, const char *data, size_t n)
{
	size_t room = sizeof(http->answer->text) - 1 - http->text_size;

	if (n > room)
		n = room;
	memcpy(http->answer->text + http->text_size, data, n);
	http->text_size += n;
}

static size_t receive(char *data, size_t size, size_t count, void *context)
{
	struct http *http = context;
	const struct http_request *r = http->request;
	struct http_answer *a = http->answer;
	size_t n = size * count;
	long status = 0;

	curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status / 100 != 2) {
		keep_text(http, data, n);
		return n;
	}
	/* a store may add a text to its success */
	if (!r->data)
		return n;
	if (n > r->room - a->size) {
		a->too_large = true;
		return 0;
	}
	memcpy(r->data + a->size, data, n);
	a->size += n;
	return n;
}

static size_t receive_header(char *data, size_t size, size_t count,
			     void *context)
{
	struct http *http = context;
	size_t n = size * count;
	char text[64];

	if (n > 5 && n < sizeof(text) + 5 && !strncasecmp(data, "Date:", 5)) {
		snprintf(text, sizeof(text), "%.*s", (int)(n - 5), data + 5);
		http->answer->date = curl_getdate(text, NULL);
		if (http->answer->date < 0)
			http->answer->date = 0;
	}
	return n;
}

/* Commands of the user, which other threads start, do not inherit it. */
static curl_socket_t open_socket(void *context, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	(void)context;
	(void)purpose;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
		      address->protocol);
}

/* --------------------------------------------------------------- the request */

static void set_body(struct http *http)
{
	const struct http_request *r = http->request;
	CURL *easy = http->easy;

	if (!strcmp(r->method, "PUT")) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
				 (curl_off_t)r->size);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, send_body);
		curl_easy_setopt(easy, CURLOPT_READDATA, http);
		curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_body);
		curl_easy_setopt(easy, CURLOPT_SEEKDATA, http);
	} else if (!strcmp(r->method, "POST")) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)r->size);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body);
	} else if (!strcmp(r->method, "HEAD")) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	} else if (strcmp(r->method, "GET")) {
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
	}
}

static void set_answer(struct http *http)
{
	CURL *easy = http->easy;

	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, receive_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
	*http->error = '\0';
}

static void set_connection(struct http *http)
{
	const struct http_request *r = http->request;
	CURL *easy = http->easy;

	curl_easy_setopt(easy, CURLOPT_URL, r->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "vdi");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIME);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)r->stall);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)r->limit);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
	if (http->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
	if (r->local)
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	if (r->sigv4) {
		curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, r->sigv4);
		curl_easy_setopt(easy, CURLOPT_USERNAME, r->user);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, r->password);
	}
}

static struct curl_slist *make_headers(const struct http_request *r)
{
	struct curl_slist *list = NULL, *longer;
	unsigned int i;

	for (i = 0; r->header[i]; i++) {
		longer = curl_slist_append(list, r->header[i]);
		if (!longer) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
	}
	return list;
}

/* Returns the result of the transfer; CURLE_AGAIN if it was stopped. */
static CURLcode transfer(struct http *http)
{
	const struct http_request *r = http->request;
	CURLcode code = CURLE_OUT_OF_MEMORY;
	int running = 1, left;
	CURLMsg *message;

	if (curl_multi_add_handle(http->multi, http->easy))
		return code;
	while (running) {
		if (r->stop && r->stop(r->stop_context)) {
			code = CURLE_AGAIN;
			/* a resolver without a server takes half a minute */
			curl_easy_setopt(http->easy, CURLOPT_QUICK_EXIT, 1L);
			break;
		}
		if (curl_multi_perform(http->multi, &running))
			break;
		if (running)
			curl_multi_poll(http->multi, NULL, 0, POLL_MS, NULL);
	}
	while ((message = curl_multi_info_read(http->multi, &left))) {
		if (message->msg == CURLMSG_DONE)
			code = message->data.result;
	}
	curl_multi_remove_handle(http->multi, http->easy);
	return code;
}

static enum http_result classify(CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return HTTP_ANSWERED;
	case CURLE_AGAIN:
		return HTTP_STOPPED;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_NOT_SENT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_OUT_OF_MEMORY:
		return HTTP_INVALID;
	default:
		return HTTP_LOST;
	}
}

static void take_info(struct http *http, CURLcode code)
{
	struct http_answer *a = http->answer;
	curl_off_t length = -1;
	long status = 0;

	a->result = a->too_large ? HTTP_ANSWERED : classify(code);
	curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(http->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
			  &length);
	a->status = status;
	a->length = length > 0 ? length : 0;
	if (a->result == HTTP_STOPPED)
		snprintf(a->why, sizeof(a->why), "interrupted");
	else if (a->result != HTTP_ANSWERED)
		snprintf(a->why, sizeof(a->why), "%s", *http->error ?
			 http->error : curl_easy_strerror(code));
}

void http_run(struct http *http, const struct http_request *request,
	      struct http_answer *answer)
{
	struct curl_slist *headers = make_headers(request);

	memset(answer, 0, sizeof(*answer));
	http->request = request;
	http->answer = answer;
	http->sent = 0;
	http->text_size = 0;
	if (!headers && request->header[0]) {
		answer->result = HTTP_INVALID;
		snprintf(answer->why, sizeof(answer->why), "out of memory");
		return;
	}
	/* keeps the connection */
	curl_easy_reset(http->easy);
	set_connection(http);
	set_body(http);
	set_answer(http);
	curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, headers);
	take_info(http, transfer(http));
	/* also drops the copies of the keys */
	curl_easy_reset(http->easy);
	curl_slist_free_all(headers);
}

/* ----------------------------------------------------------------------- text */

static bool decode(const char *text, size_t n, char *out, size_t size)
{
	static const struct {
		const char *name;
		char is;
	} entities[] = {
		{ "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' },
		{ "&quot;", '"' }, { "&apos;", '\'' }, { "&#34;", '"' },
		{ "&#39;", '\'' },
	};
	const char *end = text + n;
	size_t i;

	while (text < end && size > 1) {
		*out = *text++;
		for (i = 0; *out == '&' &&
		     i < sizeof(entities) / sizeof(entities[0]); i++) {
			size_t length = strlen(entities[i].name);

			if (strncmp(text - 1, entities[i].name, length))
				continue;
			*out = entities[i].is;
			text += length - 1;
			break;
		}
		out++;
		size--;
	}
	*out = '\0';
	return text == end;
}

bool http_xml_text(const char *xml, const char *tag, const char **from,
		   char *out, size_t size)
{
	const char *start = from && *from ? *from : xml, *end;
	char text[64];
	int n;

	*out = '\0';
	n = snprintf(text, sizeof(text), "<%s>", tag);
	start = strstr(start, text);
	if (!start)
		return false;
	start += n;
	snprintf(text, sizeof(text), "</%s>", tag);
	end = strstr(start, text);
	if (!end)
		return false;
	if (from)
		*from = end;
	return decode(start, end - start, out, size);
}

bool http_escape(const char *text, const char *also, char *out, size_t size)
{
	for (; *text; text++) {
		unsigned char c = *text;

		if (size < 4)
			return false;
		if (isalnum(c) || strchr("-._~", c) || strchr(also, c)) {
			*out++ = c;
			size--;
			continue;
		}
		snprintf(out, size, "%%%02X", c);
		out += 3;
		size -= 3;
	}
	*out = '\0';
	return true;
}
