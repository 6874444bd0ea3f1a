// SPDX-License-Identifier: LGPL-2.1-or-later
/* observer.c - an observer lists, inspects and aborts sets of other processes */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define OTHER_USER	12345

static struct vdi_observer *new_observer(void)
{
	struct vdi_observer *observer;

	OK(vdi_observer_new(&observer));
	return observer;
}

/* The test's set in the list; false if it is not there. */
static bool listed(struct vdi_observer *observer, struct vdi_set_entry *found)
{
	struct vdi_set_entry entry = { .id = 0 };
	uint64_t before = 0;
	bool seen = false;
	int code;

	while (!(code = vdi_observer_next(observer, &entry))) {
		TRUE(entry.id > before);
		before = entry.id;
		EQ(strlen(entry.name), entry.name_len);
		if (strcmp(entry.name, set_name))
			continue;
		TRUE(!seen);
		seen = true;
		*found = entry;
	}
	EQ(code, VD_E_CLOSE);
	return seen;
}

static uint64_t set_id(struct vdi_observer *observer)
{
	struct vdi_set_entry set;
	unsigned int count;

	OK(vdi_observer_find(observer, set_name, &set, 1, &count));
	EQ(count, 1);
	return set.id;
}

static bool says(struct vdi_observer *observer, const char *text)
{
	char message[768];

	vdi_observer_message(observer, message, sizeof(message));
	if (strstr(message, text))
		return true;
	fprintf(stderr, "# not '%s': %s\n", text, message);
	return false;
}

/* ---------------------------------------------------------- lists and names */

void test_observer_list(void **state)
{
	struct vdi_observer *observer = new_observer();
	struct vdi_set_entry entry, found[2];
	struct vdi_server_device *device;
	struct vdi_module_info info;
	struct vdi_server *server;
	unsigned int count;
	struct peer peer;
	char name[128];

	(void)state;
	OK(vdi_observer_open(observer));
	OK(vdi_observer_open(observer));
	TRUE(!listed(observer, &entry));
	peer = spawn(client_idle);
	server = server_up(&peer, &plain);
	TRUE(listed(observer, &entry));
	EQ(entry.creator, geteuid());
	TRUE(entry.state == VDI_STATE_INITIALIZING ||
	     entry.state == VDI_STATE_ACTIVE);

	/* by name, with and without the user */
	OK(vdi_observer_find(observer, set_name, found, 2, &count));
	EQ(count, 1);
	EQ(found[0].id, entry.id);
	OK(vdi_observer_find(observer, set_name, NULL, 0, &count));
	EQ(count, 1);
	snprintf(name, sizeof(name), "%u:%s", geteuid(), set_name);
	OK(vdi_observer_find(observer, name, found, 2, &count));
	EQ(found[0].id, entry.id);
	snprintf(name, sizeof(name), "%u:%s", OTHER_USER, set_name);
	EQ(vdi_observer_find(observer, name, found, 2, &count), VD_E_INVALID);
	EQ(count, 0);
	TRUE(says(observer, "there is no set '"));

	OK(vdi_observer_info(observer, &info));
	TRUE(info.sets >= 1 && info.max_devices == VDI_MAX_DEVICES);
	TRUE(info.total_bytes >= plain.size * plain.count);

	device = server_open(server, 0);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
	TRUE(!listed(observer, &entry));
	vdi_observer_free(observer);
}

static void client_other_user(int fd)
{
	struct vdi_client *client = new_client();
	const struct VDConfig config = { .deviceCount = 1 };

	OK(setresgid(OTHER_USER, OTHER_USER, OTHER_USER));
	OK(setresuid(OTHER_USER, OTHER_USER, OTHER_USER));
	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	notify(fd, 'c');
	await(fd, 'e');
	vdi_client_free(client);
}

static void client_ended_set(int fd)
{
	struct vdi_client *client = new_client();
	const struct VDConfig config = { .deviceCount = 1 };

	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	OK(vdi_client_signal_abort(client, 0, NULL));
	notify(fd, 'c');
	await(fd, 'l');
	OK(vdi_client_close(client));
	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	notify(fd, 'c');
	await(fd, 'e');
	vdi_client_free(client);
}

/* One name of several users, and of a set that has ended. */
void test_observer_several(void **state)
{
	struct vdi_observer *observer = new_observer();
	struct vdi_set_entry found[3];
	struct peer own, other;
	unsigned int count;
	char name[128];

	(void)state;
	own = spawn(client_ended_set);
	await(own.fd, 'c');
	OK(vdi_observer_find(observer, set_name, found, 3, &count));
	EQ(count, 1);
	EQ(found[0].state, VDI_STATE_ABORTED);
	EQ(vdi_observer_abort(observer, found[0].id, 0, NULL), VD_E_ABORT);

	/* a live set of another user takes precedence over an ended one */
	other = spawn(client_other_user);
	await(other.fd, 'c');
	OK(vdi_observer_find(observer, set_name, found, 3, &count));
	EQ(count, 1);
	EQ(found[0].creator, OTHER_USER);
	notify(own.fd, 'l');
	await(own.fd, 'c');
	OK(vdi_observer_find(observer, set_name, found, 1, &count));
	EQ(count, 2);
	OK(vdi_observer_find(observer, set_name, found, 3, &count));
	EQ(count, 2);
	TRUE(found[0].creator != found[1].creator);
	snprintf(name, sizeof(name), "%u:%s", OTHER_USER, set_name);
	OK(vdi_observer_find(observer, name, found, 3, &count));
	EQ(count, 1);
	EQ(found[0].creator, OTHER_USER);
	notify(own.fd, 'e');
	notify(other.fd, 'e');
	join(&own);
	join(&other);
	vdi_observer_free(observer);
}

/* ------------------------------------------------------------------- status */

static void client_serves(int fd)
{
	struct vdi_client *client = client_up_n(fd, 2);
	struct vdi_client_device *device = client_open(client, 0);

	EQ(serve(device, 0), 3 * PIECE);
	expect_close(client_open(client, 1));
	client_down(client);
}

void test_observer_status(void **state)
{
	struct peer peer = spawn(client_serves);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct vdi_observer *observer = new_observer();
	struct vdi_device_status devices[3];
	struct vdi_set_status status;
	uint64_t id, age;
	uint8_t *buf;
	int i;

	(void)state;
	buf = buffer(server, PIECE);
	for (i = 0; i < 3; i++) {
		fill(buf, PIECE, (uint64_t)i * PIECE);
		EQ(ask(server, device, VDC_Write, buf, PIECE), 0);
	}
	id = set_id(observer);
	memset(devices, 0xff, sizeof(devices));
	OK(vdi_observer_status(observer, id, &status, devices, 3));
	EQ(status.id, id);
	EQ(status.state, VDI_STATE_ACTIVE);
	EQ(strcmp(status.name, set_name), 0);
	EQ(status.name_len, strlen(set_name));
	EQ(status.creator, geteuid());
	EQ(status.uid, geteuid());
	EQ(status.gid, getegid());
	EQ(status.mode, 0600);
	TRUE(status.area_bytes >= plain.size * plain.count);
	EQ(status.config.deviceCount, 2);
	EQ(status.config.maxTransferSize, MIB);
	EQ(status.client_devices, 1);
	EQ(status.server_devices, 1);
	EQ(status.secondaries, 0);
	EQ(status.primary.role, VDI_ROLE_PRIMARY);
	EQ(status.primary.pid, peer.pid);
	EQ(status.server.role, VDI_ROLE_SERVER);
	EQ(status.server.pid, getpid());
	EQ(status.abort.reason, 0);

	EQ(devices[0].state, VDI_DEVICE_STATE_OPEN);
	EQ(devices[0].commands, 3);
	EQ(devices[0].completions, 3);
	EQ(devices[0].bytes, 3 * PIECE);
	EQ(devices[0].client.pid, peer.pid);
	EQ(devices[0].server.pid, getpid());
	EQ(strcmp(devices[0].name, set_name), 0);
	EQ(devices[1].state, VDI_DEVICE_STATE_IDLE);
	EQ(devices[1].client.role, 0);
	EQ(devices[1].bytes, 0);
	EQ(devices[2].name_len, 0);
	EQ(devices[2].server.role, 0);
	EQ(devices[2].commands, 0);

	age = status.age_ns;
	OK(vdi_observer_status(observer, id, &status, NULL, 0));
	TRUE(status.age_ns > age);
	OK(vdi_server_close_device(device));
	OK(vdi_server_close_device(server_open(server, 1)));
	run_out(server);
	server_down(server);
	join(&peer);
	EQ(vdi_observer_status(observer, id, &status, NULL, 0), VD_E_INVALID);
	vdi_observer_free(observer);
}

/* -------------------------------------------------------------------- abort */

void test_observer_abort(void **state)
{
	struct peer peer = spawn(client_waits);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_observer *observer = new_observer();
	struct vdi_set_status status;
	struct vdi_abort_info info;
	char text[2 * VDI_TEXT_SIZE];
	uint64_t id;

	(void)state;
	server_open(server, 0);
	await(peer.fd, 'r');
	id = set_id(observer);
	memset(text, 'x', sizeof(text));
	memcpy(text, "the disk is needed", 18);
	text[sizeof(text) - 1] = '\0';
	OK(vdi_observer_abort(observer, id, 77, text));
	join(&peer);		/* its call has returned VD_E_ABORT */
	EQ(run_to_end(server), VD_E_ABORT);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_SIGNAL);
	EQ(info.code, 77);
	EQ(info.role, VDI_ROLE_OBSERVER);
	EQ(info.pid, getpid());
	EQ(strlen(info.text), VDI_TEXT_SIZE - 1);
	EQ(strncmp(info.text, text, VDI_TEXT_SIZE - 1), 0);

	OK(vdi_observer_status(observer, id, &status, NULL, 0));
	EQ(status.state, VDI_STATE_ABORTED);
	EQ(status.abort.code, 77);
	EQ(status.primary.role, 0);
	EQ(vdi_observer_abort(observer, id, 78, NULL), VD_E_ABORT);
	TRUE(says(observer, "aborted already"));
	OK(vdi_server_abort_info(server, &info));
	EQ(info.code, 77);
	vdi_server_free(server);
	EQ(vdi_observer_abort(observer, id, 79, NULL), VD_E_INVALID);
	vdi_observer_free(observer);
}

static void client_terminated(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);

	expect_close(client_open(client, 0));
	notify(fd, 't');
	await(fd, 'e');
	client_down(client);
}

/* A set that has ended normally is not changed any more. */
void test_observer_abort_late(void **state)
{
	struct peer peer = spawn(client_terminated);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_observer *observer = new_observer();
	struct vdi_set_status status;
	uint64_t id = set_id(observer);

	(void)state;
	OK(vdi_server_close_device(server_open(server, 0)));
	await(peer.fd, 't');
	EQ(vdi_observer_abort(observer, id, 1, "late"), VD_E_CLOSE);
	TRUE(says(observer, "ended already"));
	OK(vdi_observer_status(observer, id, &status, NULL, 0));
	EQ(status.state, VDI_STATE_TERMINATED);
	EQ(status.abort.reason, 0);
	server_down(server);
	notify(peer.fd, 'e');
	join(&peer);
	vdi_observer_free(observer);
}

/* ------------------------------------------------------------------- errors */

void test_observer_errors(void **state)
{
	struct vdi_observer *observer = new_observer();
	struct vdi_set_entry entry = { .id = 0 };
	struct vdi_set_status status;
	struct vdi_module_info info;
	char text[8] = "unused";
	unsigned int count = 5;

	(void)state;
	EQ(vdi_observer_new(NULL), VD_E_INVALID);
	EQ(vdi_observer_open(NULL), VD_E_INVALID);
	EQ(vdi_observer_next(NULL, &entry), VD_E_INVALID);
	EQ(vdi_observer_next(observer, NULL), VD_E_INVALID);
	TRUE(says(observer, "an argument is NULL"));
	EQ(vdi_observer_find(NULL, "x", &entry, 1, &count), VD_E_INVALID);
	EQ(vdi_observer_find(observer, NULL, &entry, 1, &count), VD_E_INVALID);
	EQ(vdi_observer_find(observer, "x", NULL, 1, &count), VD_E_INVALID);
	EQ(vdi_observer_find(observer, "x", &entry, 1, NULL), VD_E_INVALID);
	EQ(vdi_observer_find(observer, "no such set", &entry, 1, &count),
	   VD_E_INVALID);
	EQ(count, 0);
	EQ(vdi_observer_status(NULL, 1, &status, NULL, 0), VD_E_INVALID);
	EQ(vdi_observer_status(observer, 1, NULL, NULL, 0), VD_E_INVALID);
	EQ(vdi_observer_status(observer, 1, &status, NULL, 1), VD_E_INVALID);
	EQ(vdi_observer_status(observer, 0, &status, NULL, 0), VD_E_INVALID);
	EQ(vdi_observer_status(observer, UINT64_MAX, &status, NULL, 0),
	   VD_E_INVALID);
	TRUE(says(observer, "there is no set 18446744073709551615"));
	EQ(vdi_observer_abort(NULL, 1, 0, NULL), VD_E_INVALID);
	EQ(vdi_observer_abort(observer, UINT64_MAX, 0, NULL), VD_E_INVALID);
	EQ(vdi_observer_info(NULL, &info), VD_E_INVALID);
	EQ(vdi_observer_info(observer, NULL), VD_E_INVALID);
	vdi_observer_message(NULL, text, sizeof(text));
	EQ(*text, 0);
	vdi_observer_message(observer, NULL, 0);
	vdi_observer_free(observer);
	vdi_observer_free(NULL);
}

static uint32_t held_mode;

static void client_with_mode(int fd)
{
	const struct vdi_access access = { held_mode, (uid_t)-1, (gid_t)-1 };
	const struct VDConfig config = { .deviceCount = 1 };
	struct vdi_client *client = new_client();

	OK(vdi_client_create(client, NULL, set_name, &config, &access));
	notify(fd, 'c');
	await(fd, 'e');
	vdi_client_free(client);
}

/* As another user: the mode of the set decides what it may do. */
static void observe_as_other(int fd)
{
	struct vdi_observer *observer = new_observer();
	struct vdi_set_status status;
	struct vdi_set_entry entry;
	uint64_t id;

	(void)fd;
	id = set_id(observer);
	OK(setresgid(OTHER_USER, OTHER_USER, OTHER_USER));
	OK(setresuid(OTHER_USER, OTHER_USER, OTHER_USER));
	if (held_mode == 0600) {
		TRUE(!listed(observer, &entry));
		EQ(vdi_observer_status(observer, id, &status, NULL, 0),
		   VD_E_INVALID);
		EQ(vdi_observer_abort(observer, id, 0, NULL), VD_E_INVALID);
	} else {
		TRUE(listed(observer, &entry));
		OK(vdi_observer_status(observer, id, &status, NULL, 0));
		EQ(status.mode, held_mode);
		EQ(vdi_observer_abort(observer, id, 0, NULL),
		   held_mode == 0644 ? VD_E_SECURITY : NOERROR);
	}
	vdi_observer_free(observer);
}

void test_observer_access(void **state)
{
	static const uint32_t mode[] = { 0600, 0644, 0666 };
	struct peer peer;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		held_mode = mode[i];
		peer = spawn(client_with_mode);
		await(peer.fd, 'c');
		run_in_child(observe_as_other);
		notify(peer.fd, 'e');
		join(&peer);
		new_name();
	}
}
