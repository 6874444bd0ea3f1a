/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http.h - a single HTTP request at a time, over a connection that is kept
 */
#ifndef VDI_HTTP_H
#define VDI_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* A connection; used by one thread at a time. */
struct http;

#define HTTP_MAX_HEADERS	8

struct http_request {
	const char *method;	/* GET, HEAD, PUT, POST or DELETE */
	const char *url;
	const char *header[HTTP_MAX_HEADERS + 1];	/* "Name: value", then NULL */
	const void *body;	/* PUT, POST */
	size_t size;
	uint8_t *data;		/* receives the body of a 2xx answer; NULL = ignored */
	size_t room;
	const char *sigv4;	/* as CURLOPT_AWS_SIGV4; NULL = not signed */
	const char *user;	/* access key */
	const char *password;	/* secret key */
	unsigned int stall;	/* seconds without progress that end the request */
	unsigned int limit;	/* seconds for all of the request; 0 = none */
	bool local;		/* no proxy */
	/* polled; true ends the request */
	bool (*stop)(void *context);
	void *stop_context;
};

enum http_result {
	HTTP_ANSWERED,		/* see status */
	HTTP_NOT_SENT,		/* no connection: the server did not see the request */
	HTTP_LOST,		/* no answer: the server may have executed it */
	HTTP_INVALID,		/* will fail again, as with an invalid certificate */
	HTTP_STOPPED
};

struct http_answer {
	enum http_result result;
	int status;
	size_t size;		/* of the body of a 2xx answer */
	bool too_large;		/* it did not fit */
	uint64_t length;	/* Content-Length, of an answer to HEAD */
	time_t date;		/* of the server; 0 = unknown */
	char text[4096];	/* of another body, and cut off; never NULL */
	char why[256];		/* unless answered */
};

/* NULL: out of memory. `ca_file` = NULL: the certificates of the system. */
struct http *http_open(const char *ca_file);
void http_close(struct http *http);
void http_run(struct http *http, const struct http_request *request,
	      struct http_answer *answer);
/*
 * The text of the first element <tag> of XML, decoded. False: there is none, or it
 * does not fit. Searches from *from if that is not NULL, and moves it behind the
 * element.
 */
bool http_xml_text(const char *xml, const char *tag, const char **from,
		   char *out, size_t size);
/* Escape all bytes that are not unreserved; `also` are left as well. */
bool http_escape(const char *text, const char *also, char *out, size_t size);

#endif /* VDI_HTTP_H */
