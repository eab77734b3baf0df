DROP TABLE template_reviews;
