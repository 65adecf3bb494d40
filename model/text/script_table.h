// Scripts of characters, as the reference tells them apart. Thread rule: functions without state.
#pragma once

namespace ingot::model {

// A number that characters of one script share, Han's also Hiragana's and Katakana's; -1: of no
// script (spaces, what the reference does not know).
int ScriptOf(char32_t c);

}  // namespace ingot::model
