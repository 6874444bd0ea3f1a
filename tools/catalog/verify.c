// SPDX-License-Identifier: GPL-2.0-only
/*
 * verify.c - vdi verify: read a stored backup and check it against its manifest
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/metrics.h"
#include "source.h"
#include "vdi.h"

struct verifying {
	struct vdi_progress progress;
	struct vdi_report *report;	/* NULL = none */
	struct vdi_figures figures;
};

static bool tick(void *context, uint64_t bytes)
{
	struct verifying *v = context;

	v->figures.bytes += bytes;
	vdi_progress_show(&v->progress, "verify", v->figures.bytes,
			  v->figures.total);
	if (v->report && vdi_report_due(v->report, "verify"))
		vdi_report_status(v->report, "verify", &v->figures);
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

int source_verify(struct source *s, bool quiet, struct vdi_report *report)
{
	struct verifying v = {
		.report = report,
		.figures.total = manifest_bytes(&s->manifest),
	};
	int rc = EXIT_OK;
	unsigned int i;

	vdi_progress_start(&v.progress, quiet);
	for (i = 0; i < s->manifest.count && rc == EXIT_OK; i++)
		rc = verify_device(s, i, &v);
	vdi_progress_end(&v.progress);
	return rc;
}

static const char help[] = "usage: vdi verify DIR [OPTIONS]\n\n"
	"Checks every file of the backup in DIR against the manifest.\n\n"
	"      --json[=FILE]     progress and outcome as JSON lines on standard output, or in\n"
	"                        FILE; see vdi-events(5)\n"
	"      --metrics FILE    write the outcome to FILE for Prometheus; see vdi-events(5)\n"
	"  -q, --quiet           no progress, no summary\n"
	"  -h, --help            show this help\n";

struct verify_options {
	const char *path;
	const char *json;	/* as of vdi_report_open() */
	const char *metrics;
	bool quiet;
};

static int parse(struct verify_options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", optional_argument, NULL, 'J' },
		{ "metrics", required_argument, NULL, 'M' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
		switch (c) {
		case 'J':
			o->json = optarg ? : "";
			if (optarg && !*optarg)
				return vdi_invalid("--json", "", "the name of a file");
			break;
		case 'M':
			o->metrics = optarg;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(EXIT_OK);
		default:
			fputs(help, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc - 1) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	o->path = argv[optind];
	return EXIT_OK;
}

static void fill_figures(const struct manifest *m, struct vdi_figures *figures)
{
	unsigned int i;

	figures->count = m->count;
	for (i = 0; i < m->count; i++) {
		figures->device[i].name = m->device[i].name;
		figures->device[i].bytes = medium_list_bytes(&m->device[i].media);
	}
	figures->bytes = manifest_bytes(m);
}

static int verify(struct source *s, const struct verify_options *o,
		  struct vdi_report *report)
{
	int rc;

	rc = source_open(s, o->path);
	report->set = s->manifest.set;
	if (rc == EXIT_OK)
		rc = source_verify(s, o->quiet, report);
	if (rc == EXIT_OK && !o->quiet)
		source_print(vdi_report_text(report), s, "verified",
			     manifest_bytes(&s->manifest),
			     vdi_now() - report->started, true);
	return rc;
}

/* Metrics and report of a run that ended with `rc`. Returns the exit code. */
static int end(struct source *s, int rc, struct vdi_metrics *metrics,
	       struct vdi_report *report)
{
	struct vdi_figures figures = { .count = 0 };
	struct vdi_metrics_run run = {
		.set = report->set,
		.operation = report->operation,
		.ended = time(NULL),
		.seconds = vdi_now() - report->started,
		.exit_code = rc,
	};
	struct vdi_report_end end = {
		.seconds = run.seconds,
		.figures = &figures,
	};
	char message[1024];

	/* where an error was found is not known */
	if (rc == EXIT_OK)
		fill_figures(&s->manifest, &figures);
	run.bytes = figures.bytes;
	if (!vdi_metrics_write(metrics, &run) && rc == EXIT_OK)
		rc = EXIT_FAILED;
	vdi_first_error(message, sizeof(message));
	end.message = message;
	end.exit_code = rc;
	vdi_report_end(report, &end);
	vdi_metrics_close(metrics);
	return rc;
}

int vdi_verify_main(int argc, char **argv)
{
	struct verify_options o = { .quiet = false };
	struct source s = { .dir = -1 };
	struct vdi_metrics metrics;
	struct vdi_report report;
	char *directory;
	int rc;

	rc = parse(&o, argc, argv);
	if (rc != EXIT_OK)
		return rc;
	vdi_catch_signals();
	rc = vdi_report_open(&report, o.json, "verify");
	if (rc != EXIT_OK)
		return rc;
	directory = realpath(o.path, NULL);
	report.directory = directory ? : o.path;
	rc = vdi_metrics_open(&metrics, o.metrics, NULL, "verify");
	if (rc == EXIT_OK)
		rc = verify(&s, &o, &report);
	rc = end(&s, rc, &metrics, &report);
	source_close(&s);
	free(directory);
	return rc;
}
