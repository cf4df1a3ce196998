// A Game Boy Advance without a screen: emulator PROGRAM PICTURE
//
// It plays a little, prints what the program writes to mGBA's debug registers, and ends with the status that the program names in a line
// `EXIT n`; 124 when that does not come. The last frame becomes a PNG file.
#include <mgba/flags.h>

#include <fcntl.h>
#include <mgba-util/vfs.h>
#include <mgba/core/config.h>
#include <mgba/core/core.h>
#include <mgba/core/log.h>
#include <mgba/internal/gba/input.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FRAMES = 3600, STILL_RUNNING = -1, CANNOT_RUN = 2, TIMED_OUT = 124 };

static int status = STILL_RUNNING;

static void print(struct mLogger *logger, int category, enum mLogLevel level, const char *format, va_list arguments) {
    (void)logger;
    (void)level;
    const char *id = mLogCategoryId(category);
    if (!id || strcmp(id, "gba.debug")) {
        return;
    }
    char line[512];
    vsnprintf(line, sizeof line, format, arguments);
    if (sscanf(line, "EXIT %d", &status) != 1) {
        puts(line);
    }
}

// Which keys are down: to the right and to the left, with the other thumb on A now and then.
static uint32_t keys(int frame) {
    uint32_t direction = frame / 90 % 2 ? 1 << GBA_KEY_LEFT : 1 << GBA_KEY_RIGHT;
    return frame / 24 % 3 == 0 ? direction | 1 << GBA_KEY_A : direction;
}

static int fail(const char *what, const char *path) {
    fprintf(stderr, "emulator: %s %s\n", what, path);
    return CANNOT_RUN;
}

int main(int count, char **arguments) {
    if (count != 3) {
        return fail("usage:", "emulator PROGRAM PICTURE");
    }
    struct mLogger logger = {.log = print};
    mLogSetDefaultLogger(&logger);
    struct mCore *core = mCoreFind(arguments[1]);
    if (!core || !core->init(core)) {
        return fail("this is no program for the machine:", arguments[1]);
    }
    mCoreInitConfig(core, NULL);
    unsigned width, height;
    core->desiredVideoDimensions(core, &width, &height);
    color_t *pixels = calloc((size_t)width * height, BYTES_PER_PIXEL);
    core->setVideoBuffer(core, pixels, width);
    if (!mCoreLoadFile(core, arguments[1])) {
        return fail("cannot load", arguments[1]);
    }
    core->reset(core);
    for (int frame = 0; frame < MOST_FRAMES && status == STILL_RUNNING; frame++) {
        core->setKeys(core, keys(frame));
        core->runFrame(core);
    }
    struct VFile *picture = VFileOpen(arguments[2], O_CREAT | O_TRUNC | O_WRONLY);
    if (!picture || !mCoreTakeScreenshotVF(core, picture)) {
        return fail("cannot write", arguments[2]);
    }
    picture->close(picture);
    printf("the last frame: %s\n", arguments[2]);
    mCoreConfigDeinit(&core->config);
    core->deinit(core);
    free(pixels);
    if (status == STILL_RUNNING) {
        fprintf(stderr, "emulator: the program had not ended after %d frames\n", MOST_FRAMES);
        return TIMED_OUT;
    }
    return status;
}
