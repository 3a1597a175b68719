/*
 * main() of a fuzz target without libFuzzer: runs each file of the folders and files named, and
 * some beginnings of it. Ends by a signal where a target finds something wrong.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "target.h"

enum {
    CUTS = 64, /* beginnings tried of each file */
    PATH_ROOM = 4096
};

static size_t inputs;

/* From a copy of the exact size: a read behind the input is one behind an allocation. */
static void run_bytes(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len != 0 ? len : 1);
    if (copy == NULL)
        abort();
    if (len != 0)
        memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0) {
        perror(path);
        return -1;
    }
    size_t len = (size_t)st.st_size;
    uint8_t *data = malloc(len + 1);
    if (data == NULL || fread(data, 1, len, f) != len) {
        perror(path);
        return -1;
    }
    (void)fclose(f);
    run_bytes(data, len);
    size_t step = len / CUTS + 1;
    for (size_t cut = 0; cut < len; cut += step)
        run_bytes(data, cut);
    free(data);
    inputs++;
    return 0;
}

static int run_folder(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort), result = 0;
    if (count < 0) {
        perror(folder);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_ROOM];
        int len = snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && len > 0 && len < PATH_ROOM && run_file(path) != 0)
            result = -1;
        free(entries[i]);
    }
    free(entries);
    return result;
}

int main(int argc, char **argv)
{
    int result = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) != 0) {
            perror(argv[i]);
            result = -1;
        } else if ((S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i])) != 0) {
            result = -1;
        }
    }
    printf("%zu inputs\n", inputs);
    return result == 0 && inputs > 0 ? 0 : 1;
}
