/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/template.h"

#include "common/attr.h"

#define TAKE_IN(symbol, path)                                                  \
	__asm__(".section .rodata\n"                                           \
		".global template_" #symbol "\n"                               \
		".global template_" #symbol "_end\n"                           \
		"template_" #symbol ":\n"                                      \
		".incbin \"etc/examples/" path "\"\n"                          \
		"template_" #symbol "_end:\n"                                  \
		".byte 0\n"                                                    \
		".previous\n");                                                \
	extern const char template_##symbol[], template_##symbol##_end[]

#define TAKE_IN_ALL(symbol, path)                                              \
	TAKE_IN(symbol##_main, path "/main.c");                                \
	TAKE_IN(symbol##_make, path "/Makefile");                              \
	TAKE_IN(symbol##_readme, path "/README");                              \
	TAKE_IN(symbol##_test, path "/test.py");                               \
	static const struct template_file template_##symbol##_files[] = {      \
		{ "Makefile", template_##symbol##_make,                        \
		    template_##symbol##_make_end },                            \
		{ "README", template_##symbol##_readme,                        \
		    template_##symbol##_readme_end },                          \
		{ "main.c", template_##symbol##_main,                          \
		    template_##symbol##_main_end },                            \
		{ "test.py", template_##symbol##_test,                         \
		    template_##symbol##_test_end },                            \
	}

TAKE_IN_ALL(connector, "echo-box");
TAKE_IN_ALL(front, "line-front");
TAKE_IN_ALL(filter, "mnp-filter");

const struct template templates[] = {
	{ "connector", "echo-box", template_connector_files,
	    ARRAY_LEN(template_connector_files) },
	{ "front", "line-front", template_front_files,
	    ARRAY_LEN(template_front_files) },
	{ "filter", "mnp-filter", template_filter_files,
	    ARRAY_LEN(template_filter_files) },
};
const size_t template_count = ARRAY_LEN(templates);
