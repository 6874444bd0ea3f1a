// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_names.c - names and texts
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <libvdi.h>

#include "names.h"

static void test_sets(void **state)
{
	char buf[VDI_NAME_BUF], longest[VDI_NAME_BUF + 1];

	(void)state;
	assert_int_equal(vdi_name_of_set(NULL, "a", buf), NOERROR);
	assert_string_equal(buf, "a");
	assert_int_equal(vdi_name_of_set("", "a", buf), NOERROR);
	assert_string_equal(buf, "a");
	assert_int_equal(vdi_name_of_set("I", "a", buf), NOERROR);
	assert_string_equal(buf, "I\\a");
	assert_int_equal(vdi_name_of_set(NULL, NULL, buf), VD_E_INVALID);
	assert_int_equal(vdi_name_of_set(NULL, "", buf), VD_E_INVALID);
	assert_int_equal(vdi_name_of_set(NULL, "a\\b", buf), VD_E_INVALID);
	assert_int_equal(vdi_name_of_set("I\\J", "a", buf), VD_E_INSTANCE_NAME);

	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	assert_int_equal(vdi_name_of_set(NULL, longest, buf), VD_E_INVALID);
	longest[255] = '\0';
	assert_int_equal(vdi_name_of_set(NULL, longest, buf), NOERROR);
	assert_int_equal(vdi_name_of_set("I", longest, buf), VD_E_INVALID);
	longest[253] = '\0';
	assert_int_equal(vdi_name_of_set("I", longest, buf), NOERROR);
	assert_int_equal(strlen(buf), 255);
}

static void test_devices(void **state)
{
	(void)state;
	assert_string_equal(vdi_name_of_device("I\\a", "a"), "I\\a");
	assert_string_equal(vdi_name_of_device("I\\a", "I"), "I");
	assert_string_equal(vdi_name_of_device("a", "a"), "a");
	assert_string_equal(vdi_name_of_device("a", "b"), "b");
	assert_string_equal(vdi_name_of_device("", "b"), "b");
}

static void test_texts(void **state)
{
	(void)state;
	assert_string_equal(vdi_strerror(VD_E_ABORT),
			    "VD_E_ABORT: the set is aborted");
	assert_string_equal(vdi_strerror(12345), "unknown return code 12345");
	assert_string_equal(vdi_command_name(VDC_Write), "VDC_Write");
	assert_string_equal(vdi_command_name(VDC_Complete), "VDC_Complete");
	assert_string_equal(vdi_command_name(-1), "unknown command -1");
	assert_non_null(strstr(vdi_completion_name(112), "ERROR_DISK_FULL: "));
	assert_string_equal(vdi_completion_name(5), "unknown completion code 5");
	assert_string_equal(vdi_version(), "0.1.0");
}

static void test_describe(void **state)
{
	struct vdi_abort_info info = {
		.reason = VDI_REASON_SIGNAL, .role = VDI_ROLE_OBSERVER,
		.pid = 17, .comm = "vdi", .text = "text",
	};
	char buf[256], small[8];
	int reason;

	(void)state;
	vdi_abort_describe(&info, buf, sizeof(buf));
	assert_string_equal(buf, "aborted by vdi (pid 17, observer): text");
	vdi_abort_describe(&info, small, sizeof(small));
	assert_string_equal(small, "aborted");
	vdi_abort_describe(&info, NULL, 0);
	strcpy(info.text, "a\033[31mb\nc\x7f\xc2\x9b" "d\xc3\xa9");
	strcpy(info.comm, "x\r");
	vdi_abort_describe(&info, buf, sizeof(buf));
	assert_string_equal(buf, "aborted by x? (pid 17, observer): "
			    "a?[31mb?c???d\xc3\xa9");
	memset(info.text, 'y', sizeof(info.text));	/* no NUL */
	memset(info.comm, 'y', sizeof(info.comm));
	vdi_abort_describe(&info, buf, sizeof(buf));
	info.text[0] = '\0';
	for (reason = 0; reason < 8; reason++) {
		info.reason = reason;
		vdi_abort_describe(&info, buf, sizeof(buf));
		assert_true(strlen(buf) > 5);
	}
	vdi_abort_describe(NULL, buf, sizeof(buf));
	assert_string_equal(buf, "not aborted");
}

static void test_describe_peer(void **state)
{
	struct vdi_peer peer = {
		.role = VDI_ROLE_PRIMARY, .pid = 17, .uid = 0,
		.comm = "v\033di",
	};
	char buf[256], small[4];

	(void)state;
	vdi_peer_describe(&peer, buf, sizeof(buf));
	assert_string_equal(buf, "v?di (pid 17, primary client, user root)");
	vdi_peer_describe(&peer, small, sizeof(small));
	assert_string_equal(small, "v?d");
	peer.role = VDI_ROLE_SERVER;
	peer.uid = 4000000000U;		/* no name */
	memset(peer.comm, 'y', sizeof(peer.comm));	/* no NUL */
	vdi_peer_describe(&peer, buf, sizeof(buf));
	assert_string_equal(buf, "yyyyyyyyyyyyyyy (pid 17, server, user "
			    "4000000000)");
	peer.role = 0;
	vdi_peer_describe(&peer, buf, sizeof(buf));
	assert_string_equal(buf, "no party");
	vdi_peer_describe(NULL, buf, sizeof(buf));
	assert_string_equal(buf, "no party");
	vdi_peer_describe(&peer, NULL, 0);
}

static void test_escape(void **state)
{
	char buf[64];

	(void)state;
	vdi_name_escape("nightly", 7, buf, sizeof(buf));
	assert_string_equal(buf, "nightly");
	vdi_name_escape("a b\\\x1b\0\x7f\xc3\xa9", 9, buf, sizeof(buf));
	assert_string_equal(buf, "a\\x20b\\x5c\\x1b\\x00\\x7f\xc3\xa9");
	/* what does not fit is left out, and no escape is cut */
	vdi_name_escape("\n\n\n", 3, buf, 4 * 3 + 1);
	assert_string_equal(buf, "\\x0a\\x0a\\x0a");
	vdi_name_escape("\n\n\n", 3, buf, 4 * 3);
	assert_string_equal(buf, "\\x0a\\x0a");
	vdi_name_escape("x", 0, buf, sizeof(buf));
	assert_string_equal(buf, "");
	vdi_name_escape(NULL, 3, buf, sizeof(buf));
	assert_string_equal(buf, "");
	vdi_name_escape("x", 1, buf, 0);
	vdi_name_escape("x", 1, NULL, 8);

	assert_string_equal(vdi_state_name(VDI_STATE_ACTIVE), "active");
	assert_string_equal(vdi_state_name(0), "unknown");
	assert_string_equal(vdi_state_name(-1), "unknown");
	assert_string_equal(vdi_state_name(8), "unknown");
	assert_string_equal(vdi_reason_name(VDI_REASON_DIED), "died");
	assert_string_equal(vdi_reason_name(6), "unknown");
}

static void test_user_number(void **state)
{
	uid_t user = 5;

	(void)state;
	assert_true(vdi_user_number("root", &user));
	assert_int_equal(user, 0);
	assert_true(vdi_user_number("4294967294", &user));
	assert_int_equal(user, 4294967294U);
	assert_false(vdi_user_number("4294967295", &user));
	assert_false(vdi_user_number("-1", &user));
	assert_false(vdi_user_number("7x", &user));
	assert_false(vdi_user_number("", &user));
	assert_false(vdi_user_number("no such user", &user));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_describe_peer),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_user_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
