// SPDX-License-Identifier: GPL-2.0-only
/*
 * options.c - the options that backup and restore share
 */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance.h"

static bool parse_group(const char *text, gid_t *gid)
{
	struct group *gr = getgrnam(text);
	uint64_t number;

	if (gr)
		*gid = gr->gr_gid;
	else if (vdi_parse_size(text, 0, UINT32_MAX - 1, &number))
		*gid = number;
	else
		return false;
	return true;
}

static bool parse_mode(const char *text, uint32_t *mode)
{
	char *end;
	unsigned long value = strtoul(text, &end, 8);

	if (end == text || *end || value > 0777)
		return false;
	*mode = value;
	return true;
}

static int take_in_flight(struct appliance *a, const char *argument)
{
	uint64_t number;

	if (!vdi_parse_size(argument, 1, IO_MAX_DEPTH, &number))
		return vdi_invalid("--in-flight", argument, "1 to 64");
	a->in_flight = number;
	return 0;
}

/* -1 = not one of these options */
static int take_event(struct events *e, int option, const char *argument)
{
	switch (option) {
	case 'J':
		e->json = argument ? : "";
		if (argument && !*argument)
			return vdi_invalid("--json", "", "the name of a file");
		return 0;
	case 'M':
		e->metrics_path = argument;
		return 0;
	case 'S':
		e->on_success = argument;
		return 0;
	case 'E':
		e->on_failure = argument;
		return 0;
	default:
		return -1;
	}
}

/* 0 = parsed, -1 = not a common option, or an exit code. */
static int take_common(struct appliance *a, int option, const char *argument)
{
	switch (option) {
	case 'I':
		a->instance = argument;
		return 0;
	case 'D':
		if (vdi_names_add(&a->names, argument))
			return 0;
		vdi_error("too many devices: at most %d can be named",
			  VDI_MAX_DEVICES);
		return EXIT_USAGE;
	case 'o':
		if (!vdi_parse_user(argument, &a->access.uid))
			return vdi_invalid("--owner", argument,
					   "an existing user");
		return 0;
	case 'g':
		if (!parse_group(argument, &a->access.gid))
			return vdi_invalid("--group", argument,
					   "an existing group");
		if (a->access.mode == 0600)
			a->access.mode = 0660;
		return 0;
	case 'm':
		if (!parse_mode(argument, &a->access.mode))
			return vdi_invalid("--mode", argument,
					   "octal, 0 to 0777");
		return 0;
	case 't':
		if (!vdi_parse_seconds(argument, &a->timeout_ms))
			return vdi_invalid("--timeout", argument,
					   "a number of seconds");
		return 0;
	case 'i':
		if (!vdi_parse_seconds(argument, &a->idle_ms))
			return vdi_invalid("--idle-timeout", argument,
					   "a number of seconds");
		return 0;
	case 'F':
		return take_in_flight(a, argument);
	case 'R':
		if (!vdi_parse_rate(argument, &a->max_rate))
			return vdi_invalid("--max-rate", argument,
					   VDI_RATE_RULE);
		return 0;
	case 'd':
		a->direct = DIRECT_ALWAYS;
		return 0;
	case 'B':
		a->direct = DIRECT_NEVER;
		return 0;
	case 'q':
		a->quiet = true;
		return 0;
	default:
		return take_event(&a->events, option, argument);
	}
}

int appliance_parse(struct appliance *a, int argc, char **argv,
		    const struct appliance_cli *cli)
{
	int c, rc;

	a->idle_ms = 3600 * 1000;
	if (!vdi_split_command(&argc, argv, &a->partner.command)) {
		fputs(cli->usage, stderr);
		return EXIT_USAGE;
	}
	while ((c = getopt_long(argc, argv, cli->short_options, cli->options,
				NULL)) != -1) {
		if (c == 'h') {
			fputs(cli->usage, stdout);
			exit(EXIT_OK);
		}
		if (c == '?') {
			fputs(cli->usage, stderr);
			return EXIT_USAGE;
		}
		rc = take_common(a, c, optarg);
		if (rc < 0)
			rc = cli->take(a, c, optarg);
		if (rc)
			return rc;
	}
	if (optind != argc - 1) {
		vdi_error("exactly one NAME is required");
		fputs(cli->usage, stderr);
		return EXIT_USAGE;
	}
	a->names.set = argv[optind];
	return EXIT_OK;
}

int appliance_check(struct appliance *a)
{
	if (a->direct == DIRECT_ALWAYS &&
	    medium_profile_of(a->config.features) == MEDIUM_TAPE) {
		vdi_error("--direct cannot be used with tapes");
		return EXIT_USAGE;
	}
	if (a->names.given > a->count) {
		vdi_error("--device names %u devices, but the set has %u",
			  a->names.given, a->count);
		return EXIT_USAGE;
	}
	if (a->names.given && strcmp(a->names.given_name[0], a->names.set)) {
		vdi_error("the first --device must be the name of the set, '%s'",
			  a->names.set);
		return EXIT_USAGE;
	}
	return EXIT_OK;
}
