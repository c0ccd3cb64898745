// What is used of Optique, the parser of command lines: one file, so that the npm package can carry it along instead of
// making every user of the library install it (tools/pack.ts).
export {
  choice,
  command,
  commandLine,
  formatMessage,
  lineBreak,
  longestMatch,
  map,
  object,
  option,
  optional,
  optionName,
  runParser,
  text,
} from "@optique/core";
export { findSimilar } from "@optique/core/suggestion";
export type { FluentParser, Message, Parser, Suggestion, ValueParser } from "@optique/core";
