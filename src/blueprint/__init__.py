"""blueprint: the data layer of a content platform, an application built with rowsmith."""
