// SPDX-License-Identifier: GPL-2.0-only
/*
 * verify.c - vdi verify: read a stored backup and check it against its manifest
 */
#include <getopt.h>
#include <stdio.h>

#include "source.h"
#include "vdi.h"

struct verifying {
	struct vdi_progress progress;
	uint64_t done;
	uint64_t total;
};

static bool tick(void *context, uint64_t bytes)
{
	struct verifying *v = context;

	v->done += bytes;
	vdi_progress_show(&v->progress, "verify", v->done, v->total);
	return !vdi_signal_received();
}

static int verify_device(struct source *s, unsigned int device,
			 struct verifying *v)
{
	struct drive_config config;
	struct drive drive;

	source_drive_config(s, device, &config);
	if (drive_verify(&drive, &config, s->dir,
			 &s->manifest.device[device].media, tick, v))
		return EXIT_OK;
	vdi_progress_end(&v->progress);
	switch (drive.trouble) {
	case DRIVE_FINE:
		vdi_error("interrupted");
		return EXIT_INTERRUPTED;
	case DRIVE_FAILED:
		vdi_error("cannot verify backup %s: %s", s->path, drive.why);
		return EXIT_FAILED;
	default:
		vdi_error("backup %s is damaged: %s", s->path, drive.why);
		return EXIT_DAMAGED;
	}
}

int source_verify(struct source *s, bool quiet)
{
	struct verifying v = { .total = manifest_bytes(&s->manifest) };
	int rc = EXIT_OK;
	unsigned int i;

	vdi_progress_start(&v.progress, quiet);
	for (i = 0; i < s->manifest.count && rc == EXIT_OK; i++)
		rc = verify_device(s, i, &v);
	vdi_progress_end(&v.progress);
	return rc;
}

int vdi_verify_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	static const char help[] = "usage: vdi verify DIR [-q]\n\n"
		"Checks every file of the backup in DIR against the manifest.\n\n"
		"  -q, --quiet           no progress, no summary\n"
		"  -h, --help            show this help\n";
	double started = vdi_now();
	bool quiet = false;
	struct source s;
	int c, rc;

	while ((c = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
		switch (c) {
		case 'q':
			quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			fputs(help, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc - 1) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	vdi_catch_signals();
	rc = source_open(&s, argv[optind]);
	if (rc == EXIT_OK)
		rc = source_verify(&s, quiet);
	if (rc == EXIT_OK && !quiet)
		source_print(stdout, &s, "verified", manifest_bytes(&s.manifest),
			     vdi_now() - started, true);
	source_close(&s);
	return rc;
}
