// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_config.c - rules of VDConfig
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"

static bool request_ok(const struct vdiset_config *config)
{
	return !vdi_config_check_request(config);
}

static void test_features(void **state)
{
	static const struct {
		uint32_t features;
		bool legal;
	} table[] = {
		{ VDF_LikePipe, true },
		{ VDF_Removable, true },
		{ VDF_LikeDisk, true },
		{ VDF_LikeDisk | VDF_Removable, true },
		{ VDF_LikeTape, true },
		{ VDF_LikeTape | VDF_Discard, true },
		{ VDF_Discard, true },
		{ VDF_RequestComplete, true },
		{ VDF_SnapshotPrepare | VDF_RequestComplete, true },
		{ VDF_LikeDisk | VDF_Discard | VDF_RequestComplete, true },
		{ VDF_EnumFrozenFiles | VDF_VSSWriter, true },
		{ VDF_Rewind, false },
		{ VDF_Position, false },
		{ VDF_FileMarks, false },
		{ VDF_LikeTape & ~VDF_Removable, false },
		{ VDF_LikeTape & ~VDF_ReversePosition, false },
		{ VDF_LikeTape | VDF_RandomAccess, false },
		{ VDF_LikeDisk | VDF_Rewind, false },
		{ VDF_WriteMedia, false },
		{ VDF_ReadMedia, false },
		{ VDF_CompleteEnabled, false },
		{ 0x4, false },
		{ 0x4000, false },
		{ 0x80000000U, false },
	};
	struct vdiset_config config = { .device_count = 1 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		config.features = table[i].features;
		assert_int_equal(request_ok(&config), table[i].legal);
	}
}

static void test_request(void **state)
{
	struct vdiset_config config = { .device_count = 0 };
	uint32_t n;

	(void)state;
	for (n = 0; n < 70; n++) {
		config.device_count = n;
		assert_int_equal(request_ok(&config), n >= 1 && n <= 64);
	}
	config.device_count = 64;
	for (n = 1; n <= 65536; n *= 2) {
		config.alignment = n;
		assert_true(request_ok(&config));
	}
	config.alignment = 131072;
	assert_false(request_ok(&config));
	config.alignment = 1000;
	assert_false(request_ok(&config));
	config.alignment = 0;
	config.prefix_zone_size = UINT32_MAX;
	config.server_timeout = UINT32_MAX;
	config.eom_warning_size = 1;
	config.soft_file_mark_block_size = 1;
	assert_true(request_ok(&config));
	config.block_size = 512;
	assert_false(request_ok(&config));
	config.block_size = 0, config.max_io_depth = 4;
	assert_false(request_ok(&config));
	config.max_io_depth = 0, config.max_transfer_size = 65536;
	assert_false(request_ok(&config));
	config.max_transfer_size = 0, config.buffer_area_size = 1;
	assert_false(request_ok(&config));
}

static void test_defaults(void **state)
{
	struct vdiset_config request = { .device_count = 1 };
	struct vdiset_configure wish = { .features = VDF_WriteMedia };

	(void)state;
	assert_null(vdi_config_fix(&request, &wish));
	assert_int_equal(wish.block_size, 512);
	assert_int_equal(wish.alignment, 512);
	assert_int_equal(wish.max_transfer_size, 65536);

	/* the client's requirement is larger */
	request.alignment = 8192;
	assert_null(vdi_config_fix(&request, &wish));
	assert_int_equal(wish.alignment, 8192);
	wish.alignment = 16384;
	assert_null(vdi_config_fix(&request, &wish));
	assert_int_equal(wish.alignment, 16384);
}

static void test_fix(void **state)
{
	static const struct {
		uint32_t features, block, alignment, transfer;
		bool legal;
	} table[] = {
		{ VDF_WriteMedia | VDF_ReadMedia, 512, 512, 65536, true },
		{ VDF_WriteMedia, 65536, 65536, 4 << 20, true },
		{ VDF_WriteMedia, 65536, 512, 65536, false },
		{ VDF_WriteMedia, 256, 512, 65536, false },
		{ VDF_WriteMedia, 131072, 131072, 65536, false },
		{ VDF_WriteMedia, 768, 1024, 65536, false },
		{ VDF_WriteMedia, 512, 768, 65536, false },
		{ VDF_WriteMedia, 512, 131072, 65536, false },
		{ VDF_WriteMedia, 512, 512, 65537, false },
		{ VDF_WriteMedia, 512, 512, 5 << 20, false },
		{ VDF_WriteMedia | VDF_CompleteEnabled, 512, 512, 65536, true },
		{ VDF_ReadMedia | VDF_RequestComplete, 512, 512, 65536, true },
		{ VDF_RequestComplete, 512, 512, 65536, false },
		{ 0, 512, 512, 65536, false },
		{ VDF_Discard, 512, 512, 65536, false },
		{ VDF_Removable, 512, 512, 65536, false },
	};
	const struct vdiset_config request = {
		.device_count = 1, .features = VDF_RequestComplete,
	};
	const struct vdiset_config without = { .device_count = 1 };
	struct vdiset_configure wish;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		wish = (struct vdiset_configure){
			.features = table[i].features,
			.block_size = table[i].block,
			.alignment = table[i].alignment,
			.max_transfer_size = table[i].transfer,
		};
		assert_int_equal(!vdi_config_fix(&request, &wish),
				 table[i].legal);
	}
	wish = (struct vdiset_configure){ .features = VDF_CompleteEnabled };
	assert_non_null(vdi_config_fix(&without, &wish));
}

static void test_fixed(void **state)
{
	const struct vdiset_config good = {
		.device_count = 4,
		.features = VDF_LikeTape | VDF_WriteMedia,
		.block_size = 512, .alignment = 4096,
		.max_transfer_size = 65536, .max_io_depth = 32,
	};
	struct vdiset_config config = good;

	(void)state;
	assert_null(vdi_config_check_fixed(&config));
	config.features |= 0x8000;
	assert_non_null(vdi_config_check_fixed(&config));
	config = good, config.alignment = 0;
	assert_non_null(vdi_config_check_fixed(&config));
	config = good, config.max_transfer_size = 0;
	assert_non_null(vdi_config_check_fixed(&config));
	config = good, config.block_size = 8192;
	assert_non_null(vdi_config_check_fixed(&config));
}

static void test_convert(void **state)
{
	const struct VDConfig from = {
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
	};
	struct vdiset_config kernel;
	struct VDConfig to;

	(void)state;
	vdi_config_to_kernel(&from, &kernel);
	vdi_config_from_kernel(&kernel, &to);
	assert_memory_equal(&from, &to, sizeof(to));
	kernel.buffer_area_size = 1ULL << 32;
	vdi_config_from_kernel(&kernel, &to);
	assert_int_equal(to.bufferAreaSize, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_fix),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_convert),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
