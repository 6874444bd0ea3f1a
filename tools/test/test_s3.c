// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_s3.c - answers of an S3 store that is faulty, and the secrecy of its keys
 *
 * A thread is the store: a function of the test makes its answers. That a store
 * accepts the requests is tested by selftests/stores.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include "store/chunk.h"

#define REQUESTS	32
#define REQUEST_SIZE	(128 << 10)
#define OK		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define NO_CONTENT	"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
#define LIST		OK "<ListBucketResult xmlns=\"x\">"
#define END_OF_LIST	"<IsTruncated>false</IsTruncated></ListBucketResult>"
#define MORE(token)	"<IsTruncated>true</IsTruncated><NextContinuationToken>" token \
			"</NextContinuationToken></ListBucketResult>"
#define KEY(name)	"<Contents><Key>" name "</Key><Size>1</Size>" \
			"<LastModified>2026-11-30T00:00:00.000Z</LastModified></Contents>"

static struct {
	int listener;
	pthread_t thread;
	/* NULL: none, and the connection stays open */
	const char *(*answer)(const char *request);
	int open[REQUESTS];
	unsigned int opened;
	_Atomic unsigned int count;
	char request[REQUESTS][REQUEST_SIZE];
} server;

static struct chunk_store *store;

/* ---------------------------------------------------------------- the server */

static bool is_whole(const char *text)
{
	const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\nContent-Length:");

	return body && (!length || length > body ||
			strlen(body + 4) >= strtoul(length + 17, NULL, 10));
}

static void serve_one(int fd, char *request)
{
	const char *answer;
	size_t used = 0;
	int expected = 0;
	ssize_t n;

	do {
		n = read(fd, request + used, REQUEST_SIZE - 1 - used);
		used += n > 0 ? n : 0;
		request[used] = '\0';
		if (n > 0 && !expected && strstr(request, "\r\nExpect: 100-continue\r\n"))
			expected = dprintf(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	} while (n > 0 && !is_whole(request));
	answer = n > 0 ? server.answer(request) : "";
	server.count++;
	if (!answer) {
		server.open[server.opened++] = fd;
		return;
	}
	n = write(fd, answer, strlen(answer));
	(void)n;
	close(fd);
}

static void *serve(void *argument)
{
	int fd;

	while (server.count < REQUESTS &&
	       (fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		serve_one(fd, server.request[server.count]);
	return argument;
}

static bool received(unsigned int index, const char *text)
{
	return index < server.count && strstr(server.request[index], text);
}

/* -------------------------------------------------------------------- set-up */

static void set_environment(unsigned int port)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	setenv("AWS_ENDPOINT_URL_S3", url, 1);
	setenv("AWS_ENDPOINT_URL_STS", url, 1);
	setenv("AWS_ACCESS_KEY_ID", "AKTEST", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("no_proxy", "*", 1);
}

static int setup(void **state)
{
	static const struct chunk_options options = { .timeout = 1 };
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);
	char why[256];

	(void)state;
	memset(&server, 0, sizeof(server));
	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server.listener, (struct sockaddr *)&address, size) ||
	    listen(server.listener, REQUESTS) ||
	    getsockname(server.listener, (struct sockaddr *)&address, &size) ||
	    pthread_create(&server.thread, NULL, serve, NULL))
		return -1;
	set_environment(ntohs(address.sin_port));
	store = chunk_open("s3://bucket/some/where", &options, why, sizeof(why));
	return store ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	chunk_close(store);
	shutdown(server.listener, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.listener);
	while (server.opened)
		close(server.open[--server.opened]);
	return 0;
}

/* -------------------------------------------------------------- plain objects */

static const char *success_with_text(const char *request)
{
	(void)request;
	return OK "<html>stored</html>";
}

/* A PUT is a success even if its answer 200 has a body: the manifest is stored. */
static void test_text_of_success(void **state)
{
	(void)state;
	server.answer = success_with_text;
	if (chunk_put_text(store, "a", "text") != CHUNK_OK)
		fail_msg("%s", chunk_why(store));
	assert_int_equal(chunk_publish(store, "{}", 2), CHUNK_OK);
}

static const char *success(const char *request)
{
	(void)request;
	return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
}

/* A command that is started meanwhile must not inherit the connection. */
static void test_descriptors(void **state)
{
	int fd, flags, count = 0;

	(void)state;
	server.answer = success;
	chunk_keep_connection(store);
	assert_int_equal(chunk_put_text(store, "a", "text"), CHUNK_OK);
	for (fd = 3; fd < 1000; fd++) {
		struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
		socklen_t size = sizeof(name);

		flags = fcntl(fd, F_GETFD);
		if (getsockname(fd, (struct sockaddr *)&name, &size) ||
		    name.ss_family != AF_INET || fd == server.listener)
			continue;
		count++;
		assert_true(flags & FD_CLOEXEC);
	}
	assert_true(count);
}

/* -------------------------------------------------------------------- listing */

static char names[256];

static bool note(void *context, const char *name, uint64_t bytes, const char *changed)
{
	(void)context;
	(void)bytes;
	(void)changed;
	strncat(names, name, sizeof(names) - strlen(names) - 1);
	strncat(names, " ", sizeof(names) - strlen(names) - 1);
	return true;
}

static const char *page;

static const char *same_page(const char *request)
{
	(void)request;
	return page;
}

static const char *two_pages(const char *request)
{
	return strstr(request, "continuation-token=abc") ?
	       LIST KEY("some/where/b") KEY("some/wherever") KEY("else/where/x") END_OF_LIST :
	       LIST KEY("some/where/a") KEY("some/where/../x") KEY("some/where/c/./x")
	       KEY("some/where//x") MORE("abc");
}

static void test_list(void **state)
{
	(void)state;
	server.answer = two_pages;
	*names = '\0';
	assert_int_equal(chunk_walk(store, "", note, NULL), CHUNK_OK);
	assert_string_equal(names, "a b ");
}

static void test_invalid_lists(void **state)
{
	static const char *const pages[] = {
		OK,
		OK "<html>welcome to the hotel</html>",
		/* cut off */
		LIST KEY("some/where/a"),
		LIST KEY("some/where/a") "</ListBucketResult>",
		/* the rest cannot be fetched */
		LIST "<IsTruncated>true</IsTruncated></ListBucketResult>",
		LIST MORE(""),
		/* the same page for ever */
		LIST MORE("abc"),
	};
	unsigned int left;
	size_t i;

	(void)state;
	server.answer = same_page;
	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		page = pages[i];
		assert_int_equal(chunk_walk(store, "", note, NULL), CHUNK_FAILED);
		assert_non_null(strstr(chunk_why(store), "cannot list s3://bucket/some/where"));
		assert_non_null(strstr(chunk_why(store), "not a page of a list"));
		assert_int_equal(chunk_remove_all(store, "", &left), CHUNK_FAILED);
	}
}

/* ------------------------------------------------------------------- removing */

#define THREE	LIST KEY("some/where/a") KEY("some/where/b&amp;c") KEY("some/where/d") END_OF_LIST

/* The answer to the removal of several; NULL = not supported */
static const char *removal, *single;

static const char *remove_some(const char *request)
{
	if (!strncmp(request, "GET", 3))
		return THREE;
	if (strncmp(request, "POST", 4))
		return single;
	return removal ? : "HTTP/1.1 501 Not Implemented\r\nConnection: close\r\n\r\n"
			   "<Error><Code>NotImplemented</Code></Error>";
}

static enum chunk_result remove_all(const char *many, const char *one, unsigned int *left)
{
	server.answer = remove_some;
	server.count = 0;
	removal = many;
	single = one;
	return chunk_remove_all(store, "", left);
}

#define REFUSED	"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n" \
		"<Error><Code>AccessDenied</Code></Error>"
#define DELETED(key)	"<Deleted><Key>" key "</Key></Deleted>"

/* One request for all but the last one, which is removed when all others are. */
static void test_remove_many(void **state)
{
	unsigned int left;

	(void)state;
	assert_int_equal(remove_all(OK "<DeleteResult>" DELETED("some/where/a")
				    DELETED("some/where/b&amp;c") "</DeleteResult>",
				    NO_CONTENT, &left), CHUNK_OK);
	assert_int_equal(left, 0);
	assert_int_equal(server.count, 3);
	assert_true(received(1, "POST /bucket/?delete= HTTP/1.1"));
	assert_true(received(1, "Content-MD5: "));
	assert_true(received(1, "<Object><Key>some/where/a</Key></Object>"
				"<Object><Key>some/where/b&#38;c</Key></Object></Delete>"));
	assert_true(received(2, "DELETE /bucket/some/where/d HTTP/1.1"));
}

/* A key that was not removed is removed by itself, and then its error counts. */
static void test_keys_not_removed(void **state)
{
	static const char answer[] = OK "<DeleteResult>" DELETED("some/where/b&amp;c")
		"<Error><Key>some/where/a</Key><Code>InternalError</Code></Error></DeleteResult>";
	unsigned int left;

	(void)state;
	assert_int_equal(remove_all(answer, NO_CONTENT, &left), CHUNK_OK);
	assert_int_equal(server.count, 4);
	assert_true(received(2, "DELETE /bucket/some/where/a HTTP/1.1"));
	assert_true(received(3, "DELETE /bucket/some/where/d HTTP/1.1"));

	assert_int_equal(remove_all(answer, REFUSED, &left), CHUNK_FAILED);
	assert_int_equal(left, 2);
	assert_non_null(strstr(chunk_why(store), "cannot remove s3://bucket/some/where/a"));
	/* the last one stays, as others are left */
	assert_int_equal(server.count, 3);
}

/* An answer that does not mention the keys is no success. */
static void test_keys_not_mentioned(void **state)
{
	unsigned int left;

	(void)state;
	assert_int_equal(remove_all(OK "<html>done</html>", NO_CONTENT, &left), CHUNK_OK);
	assert_int_equal(server.count, 5);
	assert_true(received(2, "DELETE /bucket/some/where/a HTTP/1.1"));
	assert_true(received(3, "DELETE /bucket/some/where/b%26c HTTP/1.1"));
	assert_true(received(4, "DELETE /bucket/some/where/d HTTP/1.1"));
	assert_int_equal(remove_all(OK "<DeleteResult></DeleteResult>", REFUSED, &left),
			 CHUNK_FAILED);
	assert_int_equal(left, 3);
}

static const char *remove_thousands(const char *request)
{
	static char answer[200000];
	char *end = stpcpy(answer, LIST);
	unsigned int i;

	if (!strncmp(request, "DELETE", 6))
		return NO_CONTENT;
	if (!strncmp(request, "GET", 3)) {
		for (i = 0; i < 1500; i++)
			end += sprintf(end, KEY("some/where/%04u"), i);
		strcpy(end, END_OF_LIST);
		return answer;
	}
	end = stpcpy(answer, OK "<DeleteResult>");
	while ((request = strstr(request, "<Object>"))) {
		request++;
		end = stpcpy(end, "<Deleted></Deleted>");
	}
	strcpy(end, "</DeleteResult>");
	return answer;
}

/* A request removes at most 1000. */
static void test_remove_thousands(void **state)
{
	unsigned int left;

	(void)state;
	server.answer = remove_thousands;
	assert_int_equal(chunk_remove_all(store, "", &left), CHUNK_OK);
	assert_int_equal(left, 0);
	assert_int_equal(server.count, 4);
	assert_true(received(1, "<Key>some/where/0000</Key>"));
	assert_true(received(1, "<Key>some/where/0999</Key>"));
	assert_false(received(1, "<Key>some/where/1000</Key>"));
	assert_true(received(2, "<Key>some/where/1000</Key>"));
	assert_true(received(2, "<Key>some/where/1498</Key>"));
	assert_true(received(3, "DELETE /bucket/some/where/1499 HTTP/1.1"));
}

static void test_single_removals(void **state)
{
	unsigned int left;

	(void)state;
	chunk_keep_connection(store);
	assert_int_equal(remove_all(NULL, NO_CONTENT, &left), CHUNK_OK);
	assert_int_equal(server.count, 5);
	/* the store is not asked again */
	assert_int_equal(remove_all(NULL, NO_CONTENT, &left), CHUNK_OK);
	assert_int_equal(server.count, 4);
	assert_true(received(1, "DELETE"));
}

/* ----------------------------------------------------------------------- keys */

static void test_endpoints(void **state)
{
	static const char *const urls[] = {
		"https://", "http://", "http:///path", "https://:443", "ftp://host", "host", "http:/x",
	};
	char why[600];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		setenv("AWS_ENDPOINT_URL_S3", urls[i], 1);
		assert_null(chunk_open("s3://bucket/x", NULL, why, sizeof(why)));
		assert_non_null(strstr(why, "s3://bucket/x: invalid endpoint"));
	}
}

static const char *no_answer(const char *request)
{
	(void)request;
	return NULL;
}

static bool asked(void *context)
{
	(void)context;
	return server.count;
}

/* A token service that does not answer does not delay a stop. */
static void test_stop_while_keys_are_fetched(void **state)
{
	char token[] = "/tmp/test_s3.XXXXXX", why[600];
	int fd = mkstemp(token);
	struct chunk_store *other;

	(void)state;
	assert_int_equal(write(fd, "token", 5), 5);
	close(fd);
	server.answer = no_answer;
	unsetenv("AWS_ACCESS_KEY_ID");
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token, 1);
	setenv("AWS_ROLE_ARN", "role", 1);
	other = chunk_open("s3://bucket/x", NULL, why, sizeof(why));
	assert_non_null(other);
	chunk_stop_with(other, asked, NULL);
	assert_int_equal(chunk_begin(other), CHUNK_STOPPED);
	chunk_close(other);
	unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	unlink(token);
}

/* In place of that of the C library, also for libcurl: a resolver that does not answer */
static _Atomic bool resolving, released;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **result)
{
	int (*real)(const char *node, const char *service, const struct addrinfo *hints,
		    struct addrinfo **result) = dlsym(RTLD_NEXT, "getaddrinfo");

	if (!node || strcmp(node, "slow.invalid"))
		return real(node, service, hints, result);
	resolving = true;
	while (!released)
		usleep(10000);
	return EAI_NONAME;
}

static bool is_resolving(void *context)
{
	(void)context;
	return resolving;
}

/* Otherwise this would wait for ever, and SIGALRM would end the program. */
static void test_stop_while_a_name_is_resolved(void **state)
{
	struct chunk_store *other;
	char why[600];

	(void)state;
	setenv("AWS_ENDPOINT_URL_S3", "http://slow.invalid", 1);
	other = chunk_open("s3://bucket/x", NULL, why, sizeof(why));
	assert_non_null(other);
	chunk_stop_with(other, is_resolving, NULL);
	alarm(300);
	assert_int_equal(chunk_begin(other), CHUNK_STOPPED);
	chunk_close(other);
	alarm(0);
	released = true;
}

/* A process of another user id than root, that can be examined by that user. */
static pid_t start_holder(bool with_keys, int ready)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char why[600];
	pid_t pid = fork();

	if (pid)
		return pid;
	setrlimit(RLIMIT_CORE, &all);
	if (chdir("/tmp") || (!getuid() && (setresgid(65534, 65534, 65534) ||
					    setresuid(65534, 65534, 65534))) ||
	    prctl(PR_SET_DUMPABLE, 1))
		_exit(1);
	signal(SIGQUIT, SIG_DFL);
	if (with_keys && !chunk_open("s3://bucket/x", NULL, why, sizeof(why)))
		_exit(1);
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* With the user id of the holder: can its memory be read? */
static bool can_read_memory(pid_t holder)
{
	char path[64];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d/mem", holder);
	pid = fork();
	if (!pid) {
		if (!getuid() && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
			_exit(2);
		_exit(open(path, O_RDONLY) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return !WEXITSTATUS(status);
}

static void examine(bool with_keys, bool *memory, bool *core)
{
	int fds[2], status;
	pid_t pid;
	char byte;

	assert_int_equal(pipe(fds), 0);
	pid = start_holder(with_keys, fds[1]);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	*memory = can_read_memory(pid);
	kill(pid, SIGQUIT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*core = WCOREDUMP(status);
}

/* A host may forbid the same for all processes: then there is nothing to test. */
static void test_keys_stay_in_the_process(void **state)
{
	bool memory, core;

	(void)state;
	assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
	examine(false, &memory, &core);
	print_message("# without keys: memory %s, core dump %s\n", memory ? "readable" : "hidden",
		      core ? "made" : "not made");
	examine(true, &memory, &core);
	assert_false(memory);
	assert_false(core);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_text_of_success),
		TEST(test_descriptors),
		TEST(test_list),
		TEST(test_invalid_lists),
		TEST(test_remove_many),
		TEST(test_keys_not_removed),
		TEST(test_keys_not_mentioned),
		TEST(test_remove_thousands),
		TEST(test_single_removals),
		TEST(test_endpoints),
		TEST(test_stop_while_keys_are_fetched),
		TEST(test_stop_while_a_name_is_resolved),
		TEST(test_keys_stay_in_the_process),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("s3", tests, NULL, NULL);
}
