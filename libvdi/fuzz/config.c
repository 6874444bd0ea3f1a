// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * config.c - rules of VDConfig, and names, for any values and any bytes
 *
 * What one side accepts, the other accepts, too. Accepted values are in the
 * ranges by which the rest of the library divides and allocates. A name that
 * was made of instance and name is split into the same. Text of other processes
 * brings no control characters to a terminal.
 */
#include <stdbool.h>

#include <libvdi.h>

#include "../config.h"
#include "../names.h"
#include "fuzz.h"

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/* Mostly plausible values. */
static uint32_t pick(struct fuzz_input *in, uint32_t least, uint32_t most)
{
	if (!fuzz_below(in, 4))
		return fuzz_number(in);
	if (!fuzz_below(in, 4))
		return 0;
	while (least < most && fuzz_below(in, 2))
		least *= 2;
	return least;
}

static uint32_t pick_features(struct fuzz_input *in)
{
	static const uint32_t profiles[] = {
		VDF_LikePipe, VDF_LikeDisk, VDF_LikeTape,
		VDF_LikeDisk | VDF_Removable,
	};
	uint32_t features = profiles[fuzz_below(in, 4)];

	if (!fuzz_below(in, 4))
		features ^= fuzz_number(in);
	if (fuzz_below(in, 2))
		features |= fuzz_take(in, 4) & (VDF_Discard |
			VDF_SnapshotPrepare | VDF_EnumFrozenFiles |
			VDF_VSSWriter | VDF_RequestComplete |
			VDI_SERVER_FEATURES);
	return features;
}

static struct vdiset_config make_config(struct fuzz_input *in)
{
	struct vdiset_config config = {
		.device_count = fuzz_below(in, 4) ? fuzz_below(in, 66) :
						    fuzz_number(in),
		.features = pick_features(in),
		.prefix_zone_size = fuzz_number(in),
		.alignment = pick(in, 512, 131072),
		.soft_file_mark_block_size = fuzz_number(in),
		.eom_warning_size = fuzz_number(in),
		.server_timeout = fuzz_number(in),
	};

	if (fuzz_below(in, 3))
		return config;
	config.block_size = pick(in, 512, 131072);
	config.max_io_depth = fuzz_number(in);
	config.max_transfer_size = pick(in, 65536, 8 << 20);
	config.buffer_area_size = fuzz_number(in);
	return config;
}

/* What the library relies on after it has accepted a configuration. */
static void check_fixed(const struct vdiset_config *c)
{
	if (vdi_config_check_fixed(c))
		return;
	fuzz_assert(c->device_count >= 1 && c->device_count <= 64);
	fuzz_assert(power_of_two(c->block_size) && c->block_size >= 512 &&
		    c->block_size <= 65536);
	fuzz_assert(power_of_two(c->alignment) &&
		    c->alignment >= c->block_size && c->alignment <= 65536);
	fuzz_assert(c->max_transfer_size >= 65536 &&
		    c->max_transfer_size <= 4 << 20 &&
		    c->max_transfer_size % 65536 == 0);
	fuzz_assert(!((c->features & VDF_RandomAccess) &&
		      (c->features & VDF_FileMarks)));
	fuzz_assert(!(c->features & 0x8000c00cU));
}

/* A client accepts the server's answer to a valid request. */
static void check_fix(struct fuzz_input *in, struct vdiset_config config)
{
	struct vdiset_configure wish = {
		.features = fuzz_below(in, 3) ?
			(config.features | VDF_WriteMedia) : pick_features(in),
		.block_size = pick(in, 512, 131072),
		.alignment = pick(in, 512, 131072),
		.max_transfer_size = pick(in, 65536, 8 << 20),
	};
	const struct vdiset_configure asked = wish;

	if (vdi_config_check_request(&config) || vdi_config_fix(&config, &wish))
		return;
	fuzz_assert(wish.features == asked.features);
	fuzz_assert(!(wish.features & ~(config.features |
					VDI_SERVER_FEATURES)));
	fuzz_assert(!asked.block_size || wish.block_size == asked.block_size);
	fuzz_assert(wish.alignment >= asked.alignment &&
		    wish.alignment >= config.alignment);
	fuzz_assert(!asked.max_transfer_size ||
		    wish.max_transfer_size == asked.max_transfer_size);
	config.features = wish.features;
	config.block_size = wish.block_size;
	config.alignment = wish.alignment;
	config.max_transfer_size = wish.max_transfer_size;
	fuzz_assert(!vdi_config_check_fixed(&config));
}

static void check_conversion(const struct vdiset_config *config)
{
	uint64_t area = config->buffer_area_size;
	struct vdiset_config back;
	struct VDConfig there;

	vdi_config_from_kernel(config, &there);
	vdi_config_to_kernel(&there, &back);
	fuzz_assert(back.buffer_area_size == (area > UINT32_MAX ? UINT32_MAX :
					      area));
	back.buffer_area_size = area;
	fuzz_assert(!memcmp(&back, config, sizeof(back)));
}

/* ------------------------------------------------------------------- names */

/* A string in memory of exactly its size; the caller frees it. */
static char *take_string(struct fuzz_input *in)
{
	size_t most = fuzz_below(in, 300), length;
	char *text;

	if (most > in->left)
		most = in->left;
	length = most ? strnlen((const char *)in->at, most) : 0;
	text = malloc(length + 1);
	fuzz_assert(text);
	fuzz_bytes(in, text, length);
	text[length] = '\0';
	/* a long name need not be in the input */
	if (length > 4 && fuzz_below(in, 8) == 0) {
		free(text);
		text = malloc(256 + 1);
		fuzz_assert(text);
		length = 250 + fuzz_below(in, 7);
		memset(text, 'x', length);
		text[length] = '\0';
	}
	return text;
}

static bool good_name(const char *name)
{
	return *name && strlen(name) <= 255 && !strchr(name, '\\');
}

static void check_names(struct fuzz_input *in)
{
	char *instance = take_string(in), *name = take_string(in);
	size_t length = strlen(name) +
			(*instance ? strlen(instance) + 1 : 0);
	char buf[VDI_NAME_BUF];
	int want = NOERROR;

	if (!good_name(name) || (*instance && good_name(instance) &&
				 length > 255))
		want = VD_E_INVALID;
	else if (*instance && !good_name(instance))
		want = VD_E_INSTANCE_NAME;
	fuzz_assert(!vdi_name_check(name) == good_name(name));
	fuzz_assert(vdi_name_of_set(instance, name, buf) == want);
	if (want == NOERROR) {
		fuzz_assert(strlen(buf) == length);
		fuzz_assert(!strcmp(vdi_name_without_instance(buf), name));
		fuzz_assert(vdi_name_of_device(buf, name) == buf);
		fuzz_assert(vdi_name_of_device("", name) == name);
	}
	/* any bytes, as the kernel accepts them */
	vdi_name_of_device(instance, vdi_name_without_instance(name));
	free(instance);
	free(name);
}

static bool is_clean(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	for (; *c; c++)
		if (*c < 0x20 || *c == 0x7f ||
		    (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
			return false;
	return true;
}

/* The texts come from other processes, and may lack their NUL. */
static void check_description(struct fuzz_input *in)
{
	struct vdi_abort_info *info = malloc(sizeof(*info));
	size_t size = fuzz_below(in, 300);
	char *buf = malloc(size ? size : 1);

	fuzz_assert(info && buf);
	fuzz_bytes(in, info, sizeof(*info));
	vdi_abort_describe(info, buf, size);
	if (size) {
		fuzz_assert(memchr(buf, '\0', size));
		fuzz_assert(is_clean(buf));
	}
	free(buf);
	free(info);
}

static void check_codes(struct fuzz_input *in)
{
	int code = fuzz_number(in);

	fuzz_assert(*vdi_strerror(code) && *vdi_command_name(code));
	fuzz_assert(*vdi_completion_name(code) && *vdi_role_name(code));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct vdiset_config config;

	while (in.left) {
		switch (fuzz_below(&in, 4)) {
		case 0:
			config = make_config(&in);
			check_fixed(&config);
			check_fix(&in, config);
			check_conversion(&config);
			break;
		case 1:
			check_names(&in);
			break;
		case 2:
			check_description(&in);
			break;
		default:
			check_codes(&in);
		}
	}
	return 0;
}
