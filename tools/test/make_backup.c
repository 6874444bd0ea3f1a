// SPDX-License-Identifier: GPL-2.0-only
/*
 * make_backup.c - a backup of any date, without a set and without the module
 *
 * usage: make_backup DIR SET AGE BYTES [DEVICES [BASE]]
 *
 * Stores BYTES on each device, as vdi backup does, and dates the backup AGE seconds
 * before now; a negative AGE is in the future. BASE is the directory of the backup that it is
 * based on, beside DIR.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "catalog/publish.h"

static uint8_t block[65536];

static bool never(void *context)
{
	(void)context;
	return false;
}

static bool write_device(struct publication *p, struct manifest *m,
			 unsigned int device, uint64_t bytes)
{
	struct drive_config config = {
		.profile = MEDIUM_PIPE,
		.device = device,
		.writing = true,
		.features = VDF_LikePipe,
	};
	struct drive d;
	bool ok = drive_open(&d, &config, p->dir, NULL);

	while (ok && bytes) {
		struct VDC_Command cmd = {
			.commandCode = VDC_Write,
			.size = bytes < sizeof(block) ? bytes : sizeof(block),
			.buffer = block,
		};
		struct outcome out;

		drive_execute(&d, &cmd, &out);
		ok = out.code == ERROR_SUCCESS;
		bytes -= cmd.size;
		m->given += cmd.size;
	}
	ok = ok && drive_finish(&d) &&
	     medium_list_copy(&m->device[device].media, &d.media);
	if (!ok)
		vdi_error("%s", d.why);
	drive_close(&d);
	m->device[device].name = strdup(m->set);
	return ok;
}

static bool make(struct publication *p, struct manifest *m, uint64_t bytes)
{
	unsigned int i;

	for (i = 0; i < m->count; i++) {
		if (!write_device(p, m, i, bytes))
			return false;
	}
	if (publication_publish(p, m, never, NULL))
		return true;
	vdi_error("%s", p->why);
	return false;
}

static bool set_base(struct manifest *m, const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct manifest base;
	const char *why = "it cannot be opened";
	bool ok = dir >= 0 && manifest_read(dir, &base, &why) == EXIT_OK;

	if (!ok) {
		vdi_error("%s: %s", path, why);
	} else {
		m->base = strdup(strrchr(path, '/') + 1);
		m->base_sum = base.sum;
		manifest_free(&base);
	}
	if (dir >= 0)
		close(dir);
	return ok;
}

int main(int argc, char **argv)
{
	struct manifest m = { .profile = MEDIUM_PIPE };
	struct publication p;
	bool ok;

	vdi_set_program("make_backup");
	if (argc < 5 || argc > 7) {
		vdi_error("usage: make_backup DIR SET AGE BYTES [DEVICES [BASE]]");
		return EXIT_USAGE;
	}
	m.set = strdup(argv[2]);
	m.finished = time(NULL) - atoll(argv[3]);
	m.started = m.finished - 61;
	m.duration_ms = 61000;
	m.count = argc > 5 ? atoi(argv[5]) : 1;
	if (argc > 6 && !set_base(&m, argv[6]))
		return EXIT_FAILED;
	ok = publication_prepare(&p, argv[1]);
	if (ok) {
		ok = make(&p, &m, strtoull(argv[4], NULL, 10));
		if (!ok)
			publication_discard(&p, false);
	}
	publication_release(&p);
	manifest_free(&m);
	return ok ? EXIT_OK : EXIT_FAILED;
}
