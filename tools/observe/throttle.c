// SPDX-License-Identifier: GPL-2.0-only
/*
 * throttle.c - vdi throttle: show or change the rate limit of a set
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "observe.h"
#include "vdi.h"

static const char usage[] =
	"usage: vdi throttle [USER:]NAME [RATE | off]\n"
	"       vdi throttle --id NUMBER [RATE | off]\n\n"
	"Limits the throughput of a set, or prints the limit. RATE is in bytes per second,\n"
	"for all devices together, with the suffix K, M, G or T for powers of 1024. The\n"
	"limit may be changed at any time while the set exists. Several users may have sets\n"
	"of the same name; USER is the creator of the set. NUMBER is the \"id\" of\n"
	"'vdi ls --json'.\n\n"
	"      --id NUMBER       the set with this number\n"
	"  -h, --help            show this help\n";

static int fail(struct vdi_observer *observer, const char *what, int code)
{
	switch (code) {
	case VD_E_INVALID:
		vdi_error("%s does not exist, or you may not see it", what);
		break;
	case VD_E_SECURITY:
		vdi_error("cannot throttle %s: you may see it, but not change it",
			  what);
		break;
	default:
		vdi_error("cannot throttle %s: %s", what,
			  observe_message(observer));
		break;
	}
	return EXIT_FAILED;
}

static int show_rate(struct vdi_observer *observer, uint64_t id,
		     const char *what)
{
	struct vdi_set_status status;
	char text[32];
	int code;

	code = vdi_observer_status(observer, id, &status, NULL, 0);
	if (code != NOERROR)
		return fail(observer, what, code);
	vdi_format_bytes(status.rate, text, sizeof(text));
	printf("%s%s\n", status.rate ? text : "off", status.rate ? "/s" : "");
	return EXIT_OK;
}

static int throttle(struct vdi_observer *observer, uint64_t id,
		    const char *what, const uint64_t *rate)
{
	int code;

	if (!rate)
		return show_rate(observer, id, what);
	code = vdi_observer_set_rate(observer, id, *rate);
	return code == NOERROR ? EXIT_OK : fail(observer, what, code);
}

/* False after a message. */
static bool parse_rate(const char *text, uint64_t *rate)
{
	*rate = 0;
	if (!strcmp(text, "off") || vdi_parse_rate(text, rate))
		return true;
	vdi_invalid("RATE", text, VDI_RATE_RULE ", or off");
	return false;
}

int vdi_throttle_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "id", required_argument, NULL, 'I' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	const char *name = NULL;
	struct vdi_observer *observer;
	uint64_t id = 0, rate;
	int exit_code = EXIT_OK;
	bool given = false;
	char what[300];
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'I':
			if (!observe_parse_id(optarg, &id))
				return EXIT_USAGE;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_OK;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (!id && optind < argc)
		name = argv[optind++];
	if (optind < argc) {
		if (!parse_rate(argv[optind++], &rate))
			return EXIT_USAGE;
		given = true;
	}
	if ((!id && !name) || optind < argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	observer = observe_open(&exit_code);
	if (!observer)
		return exit_code;
	if (observe_choose(observer, name, &id, what, sizeof(what), &exit_code))
		exit_code = throttle(observer, id, what, given ? &rate : NULL);
	vdi_observer_free(observer);
	return exit_code;
}
