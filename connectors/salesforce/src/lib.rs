//! The Salesforce connector of Syncline.
