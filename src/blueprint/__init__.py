"""blueprint: the data layer of a content platform, as an application writes it with rowsmith."""
