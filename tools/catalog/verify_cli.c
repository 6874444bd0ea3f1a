// SPDX-License-Identifier: GPL-2.0-only
/*
 * verify_cli.c - vdi verify: its options, report and metrics
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/metrics.h"
#include "common/report.h"
#include "place.h"
#include "verify.h"
#include "vdi.h"

static const char usage[] =
	"usage: vdi verify DIR [OPTIONS]\n"
	"       vdi verify PLACE --all [--set NAME] [OPTIONS]\n\n"
	"Checks every file of the backup in DIR, or of each backup directly below PLACE, against\n"
	"the manifest. DIR and PLACE may be addresses s3://BUCKET/PREFIX in an object store.\n"
	"The exit code is the highest of all backups.\n\n"
	"      --all             all backups in PLACE\n"
	"      --set NAME        with --all: only backups of this set\n"
	"      --unfilter CMD    of backups with --filter: check what CMD makes of the files,\n"
	"                        too; CMD is run with the shell, from input to output\n"
	"      --jobs N          devices to read at the same time, 1 to 64\n"
	"                        (default: the number of processors)\n"
	"      --json[=FILE]     progress and outcome as JSON lines on standard output, or in\n"
	"                        FILE; see vdi-events(5)\n"
	"      --metrics FILE    write the outcome to FILE for Prometheus; see vdi-events(5)\n"
	"  -q, --quiet           no progress, no summary\n"
	"  -h, --help            show this help\n";

struct request {
	struct verify_options options;
	const char *path;
	const char *json;	/* as of vdi_report_open() */
	const char *metrics;
	bool all;
};

enum { OPT_ALL = 256, OPT_SET, OPT_UNFILTER, OPT_JOBS, OPT_JSON, OPT_METRICS };

static int take_jobs(struct request *r)
{
	uint64_t number;

	if (!vdi_parse_size(optarg, 1, VERIFY_MAX_JOBS, &number))
		return vdi_invalid("--jobs", optarg, "1 to 64");
	r->options.jobs = number;
	return EXIT_OK;
}

static int take(struct request *r, int c)
{
	switch (c) {
	case OPT_ALL:
		r->all = true;
		return EXIT_OK;
	case OPT_SET:
		r->options.set = optarg;
		return EXIT_OK;
	case OPT_UNFILTER:
		r->options.unfilter = optarg;
		return *optarg ? EXIT_OK :
			vdi_invalid("--unfilter", "", "a command");
	case OPT_JOBS:
		return take_jobs(r);
	case OPT_JSON:
		r->json = optarg ? : "";
		return !optarg || *optarg ? EXIT_OK :
			vdi_invalid("--json", "", "the name of a file");
	case OPT_METRICS:
		r->metrics = optarg;
		return EXIT_OK;
	case 'q':
		r->options.quiet = true;
		return EXIT_OK;
	case 'h':
		fputs(usage, stdout);
		exit(EXIT_OK);
	default:
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
}

static int parse(struct request *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, OPT_ALL },
		{ "set", required_argument, NULL, OPT_SET },
		{ "unfilter", required_argument, NULL, OPT_UNFILTER },
		{ "jobs", required_argument, NULL, OPT_JOBS },
		{ "json", optional_argument, NULL, OPT_JSON },
		{ "metrics", required_argument, NULL, OPT_METRICS },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c, rc = EXIT_OK;

	while (rc == EXIT_OK &&
	       (c = getopt_long(argc, argv, "qh", options, NULL)) != -1)
		rc = take(r, c);
	if (rc == EXIT_OK && optind != argc - 1) {
		fputs(usage, stderr);
		rc = EXIT_USAGE;
	}
	if (rc == EXIT_OK && r->options.set && !r->all) {
		vdi_error("--set requires --all");
		rc = EXIT_USAGE;
	}
	r->path = argv[optind];
	return rc;
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

/* Are the backups that this one is based on still there? They are not read. */
static int check_bases(const struct source *s, const char *path)
{
	struct backup_place place;
	const struct place_entry *e;
	int rc;

	if (!s->manifest.base)
		return EXIT_OK;
	rc = place_open(&place, path, NULL);
	e = rc == EXIT_OK ? place_only(&place) : NULL;
	if (e && e->state != BACKUP_WHOLE) {
		rc = e->state == BACKUP_UNREADABLE ? EXIT_FAILED : EXIT_DAMAGED;
		vdi_error("backup %s is %s: %s", path, place_state_name(e->state), e->why);
	}
	place_close(&place);
	return rc;
}

/* The figures are those of what was found good. */
static int verify_one(const struct request *r, struct source *s,
		      struct vdi_report *report, struct vdi_figures *figures)
{
	int rc = source_open(s, r->path);

	report->set = s->manifest.set;
	if (rc == EXIT_OK)
		rc = verify_backup(s, &r->options);
	if (rc == EXIT_OK)
		rc = check_bases(s, r->path);
	if (rc != EXIT_OK)
		return rc;
	fill_figures(&s->manifest, figures);
	if (!r->options.quiet)
		source_print(vdi_report_text(report), s, "verified",
			     figures->bytes, vdi_now() - report->started, true);
	return rc;
}

/* Metrics and report of a run that ended with `rc`. Returns the exit code. */
static int end(int rc, const struct vdi_figures *figures,
	       struct vdi_metrics *metrics, struct vdi_report *report)
{
	struct vdi_metrics_run run = {
		.set = report->set,
		.operation = report->operation,
		.ended = time(NULL),
		.seconds = vdi_now() - report->started,
		.bytes = figures->bytes,
		.exit_code = rc,
	};
	struct vdi_report_end end = {
		.seconds = run.seconds,
		.figures = figures,
	};
	char message[1024];

	if (!vdi_metrics_write(metrics, &run) && rc == EXIT_OK)
		rc = EXIT_FAILED;
	vdi_first_error(message, sizeof(message));
	end.message = message;
	end.exit_code = rc;
	vdi_report_end(report, &end);
	vdi_metrics_close(metrics);
	return rc;
}

static int run(struct request *r, struct source *s, struct vdi_report *report)
{
	struct vdi_figures figures = { .count = 0 };
	struct vdi_metrics metrics;
	int rc;

	report->set = r->options.set;
	rc = vdi_metrics_open(&metrics, r->metrics, r->options.set, "verify");
	if (rc == EXIT_OK && r->all)
		rc = verify_place(r->path, &r->options, &figures.bytes);
	else if (rc == EXIT_OK)
		rc = verify_one(r, s, report, &figures);
	return end(rc, &figures, &metrics, report);
}

int vdi_verify_main(int argc, char **argv)
{
	struct request r = { .all = false };
	struct source s = { .dir = -1 };
	struct vdi_report report;
	char *directory;
	int rc = parse(&r, argc, argv);

	if (rc != EXIT_OK)
		return rc;
	vdi_catch_signals();
	rc = vdi_report_open(&report, r.json, "verify");
	if (rc != EXIT_OK)
		return rc;
	directory = realpath(r.path, NULL);
	report.directory = directory ? : r.path;
	r.options.report = &report;
	rc = run(&r, &s, &report);
	source_close(&s);
	free(directory);
	return rc;
}
