"""Chinese names: traditional characters are simplified ones, and initials of Pinyin find names.

Needs the extra `consignment[chinese]` (OpenCC, pypinyin).
"""

from consignment.adapters.chinese.names import ChineseNames, installed

__all__ = ["ChineseNames", "installed"]
