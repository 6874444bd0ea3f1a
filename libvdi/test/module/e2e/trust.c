// SPDX-License-Identifier: LGPL-2.1-or-later
/* trust.c - whose sets are joined by name, and what is reported of the peer */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

/* -------------------------------------------------------------------- trust */

#define STRANGER	12345
#define DATABASE	70

static uint32_t set_mode;

static void become(uid_t user)
{
	OK(setresgid(user, user, user));
	OK(setresuid(user, user, user));
}

/* A set of the calling user, held until the other side says so. */
static struct vdi_client *hold_set(int fd, uint32_t mode, bool ended)
{
	const struct VDConfig config = { .deviceCount = 1 };
	const struct vdi_access access = { mode, (uid_t)-1, (gid_t)-1 };
	struct vdi_client *client = new_client();

	OK(vdi_client_create(client, NULL, set_name, &config, &access));
	if (ended)
		OK(vdi_client_signal_abort(client, 7, "by its owner"));
	notify(fd, 'c');
	return client;
}

static void client_stranger(int fd)
{
	struct vdi_client *client;

	become(STRANGER);
	client = hold_set(fd, set_mode, false);
	await(fd, 'e');
	vdi_client_free(client);
}

static void client_stranger_ended(int fd)
{
	struct vdi_client *client;

	become(STRANGER);
	client = hold_set(fd, 0666, true);
	await(fd, 'e');
	vdi_client_free(client);
}

static void client_ended(int fd)
{
	struct vdi_client *client = hold_set(fd, 0666, true);

	await(fd, 'e');
	vdi_client_free(client);
}

static void client_live(int fd)
{
	struct vdi_client *client = hold_set(fd, 0666, false);

	await(fd, 'e');
	vdi_client_free(client);
}

static void let_go(struct peer *peer)
{
	notify(peer->fd, 'e');
	join(peer);
}

static bool server_says(struct vdi_server *server, const char *text)
{
	char message[1024];

	vdi_server_message(server, message, sizeof(message));
	if (strstr(message, text))
		return true;
	fprintf(stderr, "# '%s' is not in '%s'\n", text, message);
	return false;
}

static bool client_says(struct vdi_client *client, const char *text)
{
	char message[1024];

	vdi_client_message(client, message, sizeof(message));
	if (strstr(message, text))
		return true;
	fprintf(stderr, "# '%s' is not in '%s'\n", text, message);
	return false;
}

void test_trusted_users(void **state)
{
	uid_t many[VDI_MAX_TRUSTED_USERS + 1] = { 0 }, user;
	struct vdi_server *server = new_server();
	struct vdi_client *client = new_client();

	(void)state;
	EQ(vdi_server_set_trusted_users(NULL, many, 1), VD_E_INVALID);
	EQ(vdi_client_set_trusted_users(NULL, many, 1), VD_E_INVALID);
	EQ(vdi_server_set_trusted_users(server, NULL, 1), VD_E_INVALID);
	EQ(vdi_server_set_trusted_users(server, many,
					VDI_MAX_TRUSTED_USERS + 1),
	   VD_E_INVALID);
	TRUE(server_says(server, "64"));
	OK(vdi_server_set_trusted_users(server, many, VDI_MAX_TRUSTED_USERS));
	OK(vdi_client_set_trusted_users(client, many, VDI_MAX_TRUSTED_USERS));
	many[0] = -1;
	EQ(vdi_server_set_trusted_users(server, many, 1), VD_E_INVALID);
	EQ(vdi_client_set_trusted_users(client, many, 1), VD_E_INVALID);
	OK(vdi_server_set_trusted_users(server, NULL, 0));
	OK(vdi_client_set_trusted_users(client, NULL, 0));

	EQ(vdi_server_get_untrusted(server, NULL), VD_E_INVALID);
	EQ(vdi_server_get_untrusted(server, &user), VD_E_PROTOCOL);
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	TRUE(server_says(server, "trusted: root)"));
	EQ(vdi_server_get_untrusted(server, &user), VD_E_PROTOCOL);
	many[0] = STRANGER;
	OK(vdi_server_set_trusted_users(server, many, 2));
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	TRUE(server_says(server, "trusted: uid 12345, root)"));
	vdi_client_free(client);
	vdi_server_free(server);
}

/* Privilege grants access to a set; trust decides which set is found. */
void test_stranger_is_not_joined(void **state)
{
	const uid_t users[] = { STRANGER };
	struct vdi_server *server = new_server();
	struct vdi_client *own;
	struct peer peer;
	uid_t user;

	(void)state;
	set_mode = 0600;
	peer = spawn(client_stranger);
	await(peer.fd, 'c');
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	TRUE(server_says(server, set_name));
	TRUE(server_says(server, "created by uid 12345, who is not trusted "
				 "(trusted: root)"));
	OK(vdi_server_get_untrusted(server, &user));
	EQ(user, STRANGER);
	/* the real client can use the name, and is found */
	own = new_client();
	OK(vdi_client_create(own, NULL, set_name,
			     &(struct VDConfig){ .deviceCount = 1 }, NULL));
	OK(vdi_server_open(server, NULL, set_name));
	EQ(vdi_server_get_untrusted(server, &user), VD_E_PROTOCOL);
	OK(vdi_server_get_creator(server, &user));
	EQ(user, 0);
	OK(vdi_server_close(server));
	vdi_client_free(own);
	/* unless the other user is trusted */
	OK(vdi_server_set_trusted_users(server, users, 1));
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_creator(server, &user));
	EQ(user, STRANGER);
	OK(vdi_server_close(server));
	let_go(&peer);
	vdi_server_free(server);
}

static void database_meets_stranger(int fd)
{
	struct vdi_server *server = new_server();
	struct vdi_client *client = new_client();

	become(DATABASE);
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	TRUE(server_says(server, "uid 12345, who is not trusted (trusted: "));
	EQ(vdi_client_open_in_secondary(client, NULL, set_name),
	   VD_E_PROTOCOL);
	TRUE(client_says(client, "uid 12345, who is not trusted (trusted: "));
	notify(fd, 'd');
	vdi_server_free(server);
	vdi_client_free(client);
}

void test_stranger_with_open_mode(void **state)
{
	struct peer peer, database;

	(void)state;
	set_mode = 0666;
	peer = spawn(client_stranger);
	await(peer.fd, 'c');
	database = spawn(database_meets_stranger);
	await(database.fd, 'd');
	join(&database);
	let_go(&peer);
}

/* A set that has ended hides no live one; an untrusted one hides nothing. */
static void database_passes_over(int fd)
{
	struct vdi_server *server = new_server();
	struct vdi_abort_info info;
	struct vdi_client *ended;
	uid_t user;

	become(DATABASE);
	ended = new_client();
	OK(vdi_client_create(ended, NULL, set_name,
			     &(struct VDConfig){ .deviceCount = 1 }, NULL));
	OK(vdi_client_signal_abort(ended, 3, "own"));
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_creator(server, &user));
	EQ(user, 0);
	notify(fd, 'j');
	OK(vdi_server_close(server));
	await(fd, 'n');
	/* only ended ones are left: the first user of the list counts */
	EQ(vdi_server_open(server, NULL, set_name), VD_E_ABORT);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_SIGNAL);
	EQ(info.code, 3);
	EQ(strcmp(info.text, "own"), 0);
	/* the message is still that of the failure */
	TRUE(server_says(server, "has ended: aborted by"));
	TRUE(server_says(server, ": own"));
	vdi_client_free(ended);
	vdi_server_free(server);
}

void test_ended_hides_nothing(void **state)
{
	struct peer peer, live, database;
	struct vdi_server *server = new_server();
	struct vdi_client *client = new_client();
	struct vdi_abort_info info;
	uid_t user;

	(void)state;
	/* a stranger's */
	peer = spawn(client_stranger_ended);
	await(peer.fd, 'c');
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	EQ(vdi_server_get_untrusted(server, &user), VD_E_PROTOCOL);
	EQ(vdi_server_abort_info(server, &info), VD_E_PROTOCOL);
	TRUE(server_says(server, "there is no set"));
	let_go(&peer);

	/* an own one */
	peer = spawn(client_ended);
	await(peer.fd, 'c');
	EQ(vdi_server_open(server, NULL, set_name), VD_E_ABORT);
	TRUE(server_says(server, "by its owner"));
	OK(vdi_server_abort_info(server, &info));
	EQ(info.pid, peer.pid);
	EQ(info.code, 7);
	TRUE(server_says(server, "by its owner"));
	EQ(vdi_client_open_in_secondary(client, NULL, set_name), VD_E_ABORT);
	OK(vdi_client_abort_info(client, &info));
	EQ(info.pid, peer.pid);
	TRUE(client_says(client, "by its owner"));
	/* with a live one of the same name */
	live = spawn(client_live);
	await(live.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_close(server));
	let_go(&live);
	let_go(&peer);
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	EQ(vdi_server_abort_info(server, &info), VD_E_PROTOCOL);

	/* one of each trusted user */
	live = spawn(client_live);
	await(live.fd, 'c');
	database = spawn(database_passes_over);
	await(database.fd, 'j');
	let_go(&live);
	notify(database.fd, 'n');
	join(&database);
	vdi_client_free(client);
	vdi_server_free(server);
}

/* The first trusted user with a set decides whether it can be joined. */
static void database_is_refused(int fd)
{
	struct vdi_server *server = new_server();

	become(DATABASE);
	EQ(vdi_server_open(server, NULL, set_name), VD_E_SECURITY);
	TRUE(server_says(server, "may see the set, but not join it"));
	TRUE(server_says(server, "of root (uid 0)"));
	notify(fd, 'd');
	vdi_server_free(server);
}

void test_refused_by_mode(void **state)
{
	const struct vdi_access access = { 0604, (uid_t)-1, (gid_t)-1 };
	struct vdi_client *client = new_client();
	struct peer database;

	(void)state;
	OK(vdi_client_create(client, NULL, set_name,
			     &(struct VDConfig){ .deviceCount = 1 }, &access));
	database = spawn(database_is_refused);
	await(database.fd, 'd');
	join(&database);
	vdi_client_free(client);
}

static void client_knows_server(int fd)
{
	const struct VDConfig config = { .deviceCount = 1 };
	const struct vdi_access access = { 0666, (uid_t)-1, (gid_t)-1 };
	struct vdi_client *client = new_client();
	struct vdi_client_device *device;
	char text[128], want[32];
	struct vdi_peer peer;
	struct VDConfig got;
	uid_t user;

	become(STRANGER);
	EQ(vdi_client_get_peer(client, &peer), VD_E_PROTOCOL);
	EQ(vdi_client_get_creator(client, &user), VD_E_PROTOCOL);
	OK(vdi_client_create(client, NULL, set_name, &config, &access));
	EQ(vdi_client_get_peer(client, &peer), VD_E_PROTOCOL);
	OK(vdi_client_get_creator(client, &user));
	EQ(user, STRANGER);
	notify(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &got));
	OK(vdi_client_get_peer(client, &peer));
	EQ(peer.role, VDI_ROLE_SERVER);
	EQ(peer.pid, getppid());
	EQ(peer.uid, 0);
	EQ(peer.gid, 0);
	TRUE(*peer.comm);
	vdi_peer_describe(&peer, text, sizeof(text));
	snprintf(want, sizeof(want), "(pid %d, server, user root)", getppid());
	TRUE(strstr(text, want));
	device = client_open(client, 0);
	expect_close(device);
	client_down(client);
}

void test_peers(void **state)
{
	const uid_t users[] = { STRANGER };
	struct vdi_server *server = new_server();
	struct vdi_abort_info info;
	struct vdi_peer peer;
	struct VDConfig config;
	struct peer client;
	uid_t user;

	(void)state;
	EQ(vdi_server_get_peer(server, &peer), VD_E_PROTOCOL);
	EQ(vdi_server_get_creator(server, &user), VD_E_PROTOCOL);
	EQ(vdi_server_get_peer(NULL, &peer), VD_E_INVALID);
	EQ(vdi_server_get_peer(server, NULL), VD_E_INVALID);
	EQ(vdi_server_get_creator(server, NULL), VD_E_INVALID);
	EQ(vdi_client_get_peer(NULL, &peer), VD_E_INVALID);
	EQ(vdi_client_get_creator(NULL, &user), VD_E_INVALID);

	client = spawn(client_knows_server);
	await(client.fd, 'c');
	OK(vdi_server_set_trusted_users(server, users, 1));
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_peer(server, &peer));
	EQ(peer.role, VDI_ROLE_PRIMARY);
	EQ(peer.pid, client.pid);
	EQ(peer.uid, STRANGER);
	EQ(peer.gid, STRANGER);
	TRUE(*peer.comm);
	OK(vdi_server_get_creator(server, &user));
	EQ(user, STRANGER);
	OK(vdi_server_get_configuration(server, &config));
	OK(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0, 1 * MIB,
					  WAIT));
	OK(vdi_server_request_buffers(server, KIB, 0, 1));
	OK(vdi_server_end_configuration(server));
	OK(vdi_server_close_device(server_open(server, 0)));
	join(&client);
	/* it has left, and is still the creator */
	EQ(vdi_server_get_peer(server, &peer), VD_E_PROTOCOL);
	TRUE(server_says(server, "primary client"));
	OK(vdi_server_get_creator(server, &user));
	EQ(user, STRANGER);
	OK(vdi_server_close(server));
	EQ(vdi_server_abort_info(server, &info), VD_E_PROTOCOL);
	vdi_server_free(server);
}
