DROP TABLE project_collaborators;
