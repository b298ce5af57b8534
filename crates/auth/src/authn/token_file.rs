//! Tokens that a file lists: `token,user,uid,"group1,group2"`. (upstream: authentication/token/tokenfile)

use std::collections::HashMap;
use std::path::Path;

use async_trait::async_trait;
use machinery::UserInfo;
use sha2::{Digest as _, Sha256};

use super::{Authenticator, Credentials, Refused};

/// Users by the digest of their token, so that finding one takes no time that depends on how much of it is right.
pub struct TokenFile(HashMap<[u8; 32], UserInfo>);

#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error("token file '{0}' must have at least 3 columns (token, user name, user uid), found {1}")]
    Columns(String, usize),
    #[error("token file '{0}': line {1}: extraneous or missing \" in quoted-field")]
    Quotes(String, usize),
}

impl TokenFile {
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| TokenFileError::File(shown.clone(), error))?;
        Self::parse(&text, &shown)
    }

    fn parse(text: &str, file: &str) -> Result<Self, TokenFileError> {
        let mut users = HashMap::new();
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.is_empty()) {
            let columns = columns(line).ok_or_else(|| TokenFileError::Quotes(file.to_owned(), number))?;
            let [token, name, uid, rest @ ..] = columns.as_slice() else {
                return Err(TokenFileError::Columns(file.to_owned(), columns.len()));
            };
            if token.is_empty() {
                tracing::warn!(file, line = number, "an empty token is left out");
                continue;
            }
            let groups: Vec<&str> = rest.first().map_or_else(Vec::new, |groups| groups.split(',').collect());
            let user = UserInfo { uid: uid.clone(), ..UserInfo::new(name, &groups) };
            if users.insert(digest(token), user).is_some() {
                tracing::warn!(file, line = number, "a token is listed twice");
            }
        }
        Ok(Self(users))
    }
}

#[async_trait]
impl Authenticator for TokenFile {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let token = credentials.bearer_token.as_deref().filter(|_| credentials.for_api());
        Ok(token.and_then(|token| self.0.get(&digest(token)).cloned()))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The columns of a line; in quotes they may hold commas, and quotes twice. None if a quote is not closed.
fn columns(line: &str) -> Option<Vec<String>> {
    let mut columns = vec![String::new()];
    let mut letters = line.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        let column = columns.last_mut().expect("there is always one");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => column.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(String::new()),
            letter => column.push(letter),
        }
    }
    (!quoted).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn user(token: &str) -> Option<UserInfo> {
        let text = "token1,jane,uid1,\"dev,ops\"\n\n,nobody,x\ntoken2,\"o\"\"hara\",uid2\n";
        let file = TokenFile::parse(text, "tokens.csv").expect("the file is well formed");
        file.authenticate(&Credentials::token(token)).await.unwrap()
    }

    #[tokio::test]
    async fn users_are_found_by_their_token() {
        let jane = UserInfo { uid: "uid1".to_owned(), ..UserInfo::new("jane", &["dev", "ops"]) };
        assert_eq!(user("token1").await, Some(jane));
        assert_eq!(user("token2").await.unwrap().name, "o\"hara");
        assert_eq!(user("").await, None);
        assert_eq!(user("token3").await, None);
    }

    #[test]
    fn bad_lines_are_told_apart() {
        let error = |text: &str| TokenFile::parse(text, "f").err().unwrap().to_string();
        assert_eq!(error("a,b"), "token file 'f' must have at least 3 columns (token, user name, user uid), found 2");
        assert_eq!(error("a,b,c\nx,\"y,z"), "token file 'f': line 2: extraneous or missing \" in quoted-field");
    }
}
