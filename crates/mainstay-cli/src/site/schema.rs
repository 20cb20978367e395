//! The site's tables, as steps that are done once. Times are milliseconds since the epoch in UTC; what is
//! yes or no is 1 or 0; so all databases have it alike.

use mainstay::db::Migration;

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration::new(
        1,
        "components and their days",
        "CREATE TABLE site_components (
             id VARCHAR(48) NOT NULL PRIMARY KEY,
             name VARCHAR(80) NOT NULL,
             about VARCHAR(200) NOT NULL,
             source VARCHAR(60) NOT NULL,
             place BIGINT NOT NULL,
             hidden BIGINT NOT NULL,
             set_state VARCHAR(12) NOT NULL
         );
         CREATE TABLE site_days (
             component VARCHAR(48) NOT NULL,
             day BIGINT NOT NULL,
             operational BIGINT NOT NULL,
             degraded BIGINT NOT NULL,
             partial BIGINT NOT NULL,
             down BIGINT NOT NULL,
             maintenance BIGINT NOT NULL,
             PRIMARY KEY (component, day)
         );
         CREATE TABLE site_changes (
             component VARCHAR(48) NOT NULL,
             at BIGINT NOT NULL,
             state VARCHAR(12) NOT NULL,
             PRIMARY KEY (component, at)
         );
         CREATE TABLE site_leases (
             name VARCHAR(40) NOT NULL PRIMARY KEY,
             holder VARCHAR(48) NOT NULL,
             until BIGINT NOT NULL
         );",
    )
    .down(
        "DROP TABLE site_leases; DROP TABLE site_changes; DROP TABLE site_days; DROP TABLE site_components;",
    ),
    Migration::new(
        2,
        "incidents and maintenance",
        "CREATE TABLE site_incidents (
             id VARCHAR(16) NOT NULL PRIMARY KEY,
             kind VARCHAR(12) NOT NULL,
             title VARCHAR(160) NOT NULL,
             impact VARCHAR(12) NOT NULL,
             created BIGINT NOT NULL,
             published BIGINT NOT NULL,
             begins BIGINT NOT NULL,
             ends BIGINT NOT NULL,
             closed BIGINT NOT NULL,
             author VARCHAR(64) NOT NULL,
             revision BIGINT NOT NULL
         );
         CREATE INDEX site_incidents_published ON site_incidents (published);
         CREATE TABLE site_affected (
             incident VARCHAR(16) NOT NULL,
             component VARCHAR(48) NOT NULL,
             PRIMARY KEY (incident, component)
         );
         CREATE TABLE site_updates (
             id VARCHAR(16) NOT NULL PRIMARY KEY,
             incident VARCHAR(16) NOT NULL,
             at BIGINT NOT NULL,
             edited BIGINT NOT NULL,
             status VARCHAR(16) NOT NULL,
             body TEXT NOT NULL,
             author VARCHAR(64) NOT NULL
         );
         CREATE INDEX site_updates_incident ON site_updates (incident);
         CREATE TABLE site_attachments (
             id VARCHAR(32) NOT NULL PRIMARY KEY,
             incident VARCHAR(16) NOT NULL,
             name VARCHAR(160) NOT NULL,
             media VARCHAR(40) NOT NULL,
             size BIGINT NOT NULL,
             at BIGINT NOT NULL,
             author VARCHAR(64) NOT NULL
         );
         CREATE INDEX site_attachments_incident ON site_attachments (incident);",
    )
    .down(
        "DROP TABLE site_attachments; DROP TABLE site_updates; DROP TABLE site_affected; DROP TABLE site_incidents;",
    ),
];
