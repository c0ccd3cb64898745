// A script of its own that runs before the page is painted; parts/theme.ts goes on from there.
import { followTheme } from "./parts/theme.ts";

followTheme();
